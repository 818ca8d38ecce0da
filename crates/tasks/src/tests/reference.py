"""Replays traces of the state machine on the specification's reference definitions.

Usage: python3 reference.py DEFINITIONS.PY < TRACES

The definitions run unmodified. Where they choose at random, the trace says what was chosen, and this script
checks that they might have chosen so. Each trace is replayed in a child process, which ends with the trace:
guests that are still blocked then need not be unwound.
"""

import __future__
import os
import sys
import traceback
import types

# The definitions name classes in annotations before they define them, which Python 3.14 takes as it is.
d = types.ModuleType('definitions')
sys.modules['definitions'] = d
with open(sys.argv[1]) as file:
    exec(compile(file.read(), sys.argv[1], 'exec', __future__.annotations.compiler_flag), d.__dict__)
d.DETERMINISTIC_PROFILE = True

INSTANCES = 3
TYPES = {'Number': d.U8Type(), 'Text': d.CharType()}


class World:
    def __init__(self, lines):
        self.lines = lines
        self.at = 0
        self.threads = []
        self.numbering = True
        self.store = d.Store()
        self.insts = [d.ComponentInstance(self.store) for _ in range(INSTANCES)]
        self.resource = d.ResourceType(self.insts[0])
        self.memory = d.MemInst(bytearray(4096), 'i32')
        self.explicit = d.Table()
        core = d.CoreFuncRef(d.CoreFuncType(['i32'], []), lambda args: self.guest())
        self.explicit_index = self.explicit.add(core)
        self.cancels = {}
        self.calls = 0
        self.host_ends = []

    # The trace.

    def next(self):
        if self.at == len(self.lines):
            os._exit(0)
        line = self.lines[self.at]
        self.at += 1
        return line.split()

    def fail(self, message):
        shown = '\n'.join(self.lines[:self.at])
        sys.stderr.write(f'{shown}\n^^^ {message}\n')
        sys.stderr.flush()
        os._exit(1)

    def expect(self, *words):
        line = self.next()
        if line != [str(word) for word in words]:
            self.fail(f'the reference has {" ".join(map(str, words))}')

    def trapped(self):
        if self.next()[0] != 'trap':
            self.fail('the reference traps')
        os._exit(0)

    def guarded(self, f):
        try:
            return f()
        except d.Trap:
            self.trapped()
        except Exception:
            self.fail('the reference fails\n' + traceback.format_exc())

    # Choices.

    def choice(self, candidates):
        line = self.next()
        if line[0] != 'choose':
            self.fail(f'the reference resumes one of {[self.threads.index(t) for t in candidates]}')
        thread = self.threads[int(line[1])]
        if thread not in candidates:
            self.fail(f'the reference resumes one of {[self.threads.index(t) for t in candidates]}')
        return thread

    def shuffle(self, elems):
        line = self.next()
        if line[0] != 'deliver':
            self.fail('the reference delivers an event')
        waitable = d.current_instance().handles.get(int(line[1]))
        elems.remove(waitable)
        elems.insert(0, waitable)

    # Calls.

    def options(self, is_async=False, callback=None):
        return d.CanonicalOptions(memory=self.memory, async_=is_async, callback=callback)

    def param(self, words):
        """The parameter types, and what the caller passes: an index, a representation or an end."""
        match words:
            case ['none']:
                return [], []
            case ['own', index]:
                return [d.OwnType(self.resource)], [int(index)]
            case ['borrow', index]:
                return [d.BorrowType(self.resource)], [int(index)]
            case ['end', index, kind, element]:
                t = TYPES[element]
                return [d.StreamType(t) if kind == 'StreamReadable' else d.FutureType(t)], [int(index)]
            case ['host', name]:
                end = self.host_ends[int(name)]
                stream = isinstance(end, d.StreamEnd)
                return [d.StreamType(end.t) if stream else d.FutureType(end.t)], [end]

    def function(self, inst, lift, param_types):
        ft = d.FuncType(param_types, [], async_=lift != 'Sync')
        callback = self.callback if lift == 'Callback' else None
        opts = self.options(lift in ('Callback', 'Stackful'), callback)
        return self.store.lift(lambda args: self.begin(args), ft, opts, inst), ft

    def begin(self, args):
        self.expect('begin', args[0] if args else 0)
        return self.guest()

    def callback(self, args):
        self.expect('callback', *map(int, args))
        return self.guest()

    # What guests do.

    def guest(self):
        while True:
            line = self.next()
            if line[0] == 'ret':
                return [int(word) for word in line[1:]]
            results = self.guarded(lambda: self.builtin(*line))
            self.expect('=', *results)

    def builtin(self, name, *args):
        inst = d.current_instance()
        ints = [int(arg) if arg.isdigit() else arg for arg in args]
        match name:
            case 'call':
                target, lift, is_async = self.insts[ints[0]], args[1], ints[2] == 1
                param_types, values = self.param(list(args[3:]))
                f, ft = self.function(target, lift, param_types)
                self.calls += 1
                return d.canon_lower(f, ft, self.options(is_async), values)
            case 'task.return':
                return d.canon_task_return([], d.current_task().opts, [])
            case 'task.cancel':
                return d.canon_task_cancel()
            case 'resource.new':
                return d.canon_resource_new(self.resource, ints[0])
            case 'resource.rep':
                return d.canon_resource_rep(self.resource, ints[0])
            case 'resource.drop':
                self.numbering = False
                results = d.canon_resource_drop(self.resource, ints[0])
                self.numbering = True
                return results
            case 'backpressure.inc':
                return d.canon_backpressure_inc()
            case 'backpressure.dec':
                return d.canon_backpressure_dec()
            case 'set.new':
                return d.canon_waitable_set_new()
            case 'set.drop':
                return d.canon_waitable_set_drop(ints[0])
            case 'set.wait':
                return self.event(d.canon_waitable_set_wait(self.memory, ints[0], 64))
            case 'set.poll':
                return self.event(d.canon_waitable_set_poll(self.memory, ints[0], 64))
            case 'join':
                return d.canon_waitable_join(ints[0], ints[1])
            case 'subtask.cancel':
                return [int(state) for state in d.canon_subtask_cancel(ints[0] == 1, ints[1])]
            case 'subtask.drop':
                return d.canon_subtask_drop(ints[0])
            case 'stream.new':
                [packed] = d.canon_stream_new(d.StreamType(TYPES[args[0]]))
                return [packed & 0xffffffff, packed >> 32]
            case 'future.new':
                [packed] = d.canon_future_new(d.FutureType(TYPES[args[0]]))
                return [packed & 0xffffffff, packed >> 32]
            case 'copy':
                t, opts, index, length = TYPES[args[1]], self.options(ints[2] == 1), ints[3], ints[4]
                match args[0]:
                    case 'StreamReadable':
                        return d.canon_stream_read(d.StreamType(t), opts, index, 0, length)
                    case 'StreamWritable':
                        return d.canon_stream_write(d.StreamType(t), opts, index, 0, length)
                    case 'FutureReadable':
                        return d.canon_future_read(d.FutureType(t), opts, index, 0)
                    case 'FutureWritable':
                        return d.canon_future_write(d.FutureType(t), opts, index, 0)
            case 'copy.cancel':
                t, is_async, index = TYPES[args[1]], ints[2] == 1, ints[3]
                match args[0]:
                    case 'StreamReadable':
                        return d.canon_stream_cancel_read(d.StreamType(t), is_async, index)
                    case 'StreamWritable':
                        return d.canon_stream_cancel_write(d.StreamType(t), is_async, index)
                    case 'FutureReadable':
                        return d.canon_future_cancel_read(d.FutureType(t), is_async, index)
                    case 'FutureWritable':
                        return d.canon_future_cancel_write(d.FutureType(t), is_async, index)
            case 'end.drop':
                t, index = TYPES[args[1]], ints[2]
                match args[0]:
                    case 'StreamReadable':
                        return d.canon_stream_drop_readable(d.StreamType(t), index)
                    case 'StreamWritable':
                        return d.canon_stream_drop_writable(d.StreamType(t), index)
                    case 'FutureReadable':
                        return d.canon_future_drop_readable(d.FutureType(t), index)
                    case 'FutureWritable':
                        return d.canon_future_drop_writable(d.FutureType(t), index)
            case 'forward':
                t = TYPES[args[1]]
                if args[0] == 'stream':
                    return d.canon_stream_forward(d.StreamType(t), ints[2], ints[3])
                return d.canon_future_forward(d.FutureType(t), ints[2], ints[3])
            case 'give':
                cx = d.LiftLowerContext(self.options(), inst)
                lift = d.lift_stream if args[0] == 'StreamReadable' else d.lift_future
                end = lift(cx, ints[2], TYPES[args[1]])
                if end not in self.host_ends:
                    self.host_ends.append(end)
                return [self.host_ends.index(end)]
            case 'take':
                cx = d.LiftLowerContext(self.options(), inst)
                end = self.host_ends[ints[0]]
                lower = d.lower_stream if isinstance(end, d.StreamEnd) else d.lower_future
                return [lower(cx, end, end.t)]
            case 'error-context.new':
                return d.canon_error_context_new(self.options(), 0, 0)
            case 'error-context.drop':
                return d.canon_error_context_drop(ints[0])
            case 'thread.index':
                return d.canon_thread_index()
            case 'thread.new':
                ft = d.CoreFuncType(['i32'], [])
                return d.canon_thread_new_indirect(ft, self.explicit, self.explicit_index, 0)
            case 'thread.resume-later':
                return d.canon_thread_resume_later(ints[0])
            case 'thread.suspend':
                return d.canon_thread_suspend()
            case 'thread.yield':
                return d.canon_thread_yield()
            case 'thread.suspend-then-resume':
                return d.canon_thread_suspend_then_resume(ints[0])
            case 'thread.yield-then-resume':
                return d.canon_thread_yield_then_resume(ints[0])
            case 'thread.suspend-then-promote':
                return d.canon_thread_suspend_then_promote(ints[0])
            case 'thread.yield-then-promote':
                return d.canon_thread_yield_then_promote(ints[0])
        self.fail('the reference is still in a guest')

    def event(self, results):
        bytes = self.memory.bytes
        p1 = int.from_bytes(bytes[64:68], 'little')
        p2 = int.from_bytes(bytes[68:72], 'little')
        return [int(results[0]), p1, p2]

    # What the host does.

    def host(self):
        while True:
            name, *args = self.next()
            self.guarded(lambda: self.host_step(name, args))

    def host_step(self, name, args):
        match name:
            case 'tick':
                self.store.tick()
            case 'hcall':
                param_types, values = self.param(args[2:])
                f, _ = self.function(self.insts[int(args[0])], args[1], param_types)
                number = self.calls
                self.calls += 1
                self.cancels[number] = self.store.invoke(f, lambda: values, lambda result: None)
            case 'hcancel':
                self.cancels[int(args[0])]()
            case 'hnew':
                new = d.new_stream if args[0] == 'stream' else d.new_future
                self.host_ends.extend(new(TYPES[args[1]], None))
            case 'hcopy':
                end = self.host_ends[int(args[0])]
                end.copy(HostBuffer(end.t, int(args[1])))
            case 'hcancelcopy':
                self.host_ends[int(args[0])].cancel()
            case 'hadvance':
                end, count = self.host_ends[int(args[0])], int(args[1])
                end.copy(HostBuffer(end.t, max(count, 1)))
                if count == 0:
                    end.cancel()
                end.get_pending_event()
            case 'hdrop':
                self.host_ends[int(args[0])].drop()
            case 'hevent':
                end = self.host_ends[int(args[0])]
                if not end.has_pending_event():
                    self.fail('the reference has no event')
                _, _, packed = end.get_pending_event()
                result, progress = packed & 0xf, packed >> 4
                if isinstance(end, d.FutureEnd):
                    progress = int(args[2])
                if (result, progress) != (int(args[1]), int(args[2])):
                    self.fail(f'the reference has {result} {progress}')
            case _:
                self.fail('the reference has left all guests')


class HostBuffer:
    def __init__(self, t, length):
        self.t = t
        self.length = length
        self.progress = 0

    def remain(self):
        return self.length - self.progress

    def read(self, n):
        self.progress += n
        return n * ['\0' if isinstance(self.t, d.CharType) else 0]

    def write(self, vs):
        self.progress += len(vs)


def replay(lines):
    world = World(lines)
    d.random.choice = world.choice
    d.random.shuffle = world.shuffle

    def number_thread(self, task, thread_func, init=d.Thread.__init__):
        init(self, task, thread_func)
        if world.numbering:
            world.threads.append(self)

    def cont_new(f, new=d.cont_new):
        return new(lambda: world.guarded(f))

    d.Thread.__init__ = number_thread
    d.cont_new = cont_new
    world.host()


def main():
    traces = [trace.splitlines() for trace in sys.stdin.read().split('----\n')]
    for number, trace in enumerate(traces):
        child = os.fork()
        if child == 0:
            replay(trace)
        _, status = os.waitpid(child, 0)
        if status != 0:
            sys.stderr.write(f'trace {number} failed with status {status}\n')
            sys.exit(1)
    print(f'{len(traces)} traces replayed')


main()
