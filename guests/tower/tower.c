// Falls from a tower. Its debug information says on which line, also where functions were inlined.

typedef unsigned u32;

volatile u32 height;

// Inlined into `climb`.
__attribute__((always_inline)) static inline u32 step(u32 steps, u32 stride)
{
    height = steps;
    return steps / stride;
}

__attribute__((noinline)) static u32 floors(u32 steps, u32 stride)
{
    return step(steps + 1, stride) + height;
}

__attribute__((export_name("climb"))) u32 climb(u32 steps, u32 stride)
{
    return floors(steps * 2, stride) + height;
}

__attribute__((noinline)) static u32 next(u32 steps)
{
    u32 rest = next(steps + height);
    return rest + height;
}

__attribute__((export_name("climb-for-ever"))) u32 climb_for_ever(u32 steps)
{
    return next(steps) + height;
}
