use crate::report::{Report, check};
use crate::tombolo::pair::values::{self, Access, Color, Person, Point, Shape};

pub fn check(report: &mut Report) {
    strings(report);
    scalars(report);
    lists(report);
    choices(report);
    records(report);
}

fn strings(report: &mut Report) {
    check!(report, values::greet("world"), "Hello, world!".to_owned());
    check!(report, values::greet(""), "Hello, !".to_owned());
    check!(report, values::reverse("añ€😀"), "😀€ña".to_owned());
    let long = "0123456789".repeat(10_000);
    report.check(
        "reverse of 100,000 characters",
        values::reverse(&long) == "9876543210".repeat(10_000),
        true,
    );
}

fn scalars(report: &mut Report) {
    check!(
        report,
        values::scalars(true, 1, 1, 1, 1, 1, 1, 1, 1, 1.5, 2.5, 'λ'),
        (false, -2, 0xFE, -2, 0xFFFE, -2, 0xFFFF_FFFE, -2, 0xFFFF_FFFF_FFFF_FFFE, -1.5, -2.5, '\u{10FFFF}'),
    );
    check!(
        report,
        values::scalars(
            false,
            -128,
            255,
            -32768,
            65535,
            i32::MIN,
            u32::MAX,
            i64::MIN,
            u64::MAX,
            -0.25,
            1e300,
            'x'
        ),
        (true, 127, 0, 32767, 0, i32::MAX, 0, i64::MAX, 0, 0.25, -1e300, 'x'),
    );
    check!(
        report,
        values::sum_of_many(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1 << 40, 255),
        136 + (1 << 40) + 255,
    );
}

fn lists(report: &mut Report) {
    check!(report, values::sum(&[]), 0);
    check!(report, values::sum(&[1, -2, i64::MAX, i64::MIN]), -2);
    check!(report, values::first_even(&[]), None);
    check!(report, values::first_even(&[1, 3, 8, 10]), Some(8));
    check!(report, values::echo_bytes(&[]), vec![]);
    let bytes: Vec<u8> = (0..100_000_u32).map(|i| (i % 253) as u8).collect();
    report.check("echo of 100,000 bytes", values::echo_bytes(&bytes) == bytes, true);
}

fn choices(report: &mut Report) {
    check!(report, values::swap((7, "seven")), ("seven".to_owned(), 7));
    check!(report, values::area(&Shape::Dot), Ok(0.0));
    check!(report, values::area(&Shape::Circle(2.0)), Ok(12.0));
    check!(report, values::area(&Shape::Polygon(square())), Ok(4.0));
    check!(report, values::area(&Shape::Named("blob".to_owned())), Err("what is a blob?".to_owned()));
    check!(
        report,
        values::check(Access::READ | Access::SHARE),
        Ok(Access::READ | Access::SHARE | Access::ADMINISTER),
    );
    check!(report, values::check(Access::all()), Err(Color::Blue));
    check!(report, values::nest(None), Err(vec!["no".to_owned(), String::new(), "value".to_owned()]));
    check!(report, values::nest(Some(None)), Ok(None));
    check!(report, values::nest(Some(Some(0))), Ok(Some(Err("zero".to_owned()))));
    check!(report, values::nest(Some(Some(41))), Ok(Some(Ok(42))));
    check!(report, values::succeed(true), Ok(()));
    check!(report, values::succeed(false), Err(()));
}

fn records(report: &mut Report) {
    let mut older = ada();
    older.age += 5;
    older.nicknames.push("old Ada".to_owned());
    check!(report, values::older(&ada(), 5), older);

    let bare = Person {
        name: String::new(),
        age: 0,
        birthplace: None,
        nicknames: vec![],
        favourite: Color::Red,
        access: Access::empty(),
        shape: Shape::Dot,
        initial: '\0',
    };
    let renamed = vec![
        Person { name: "Ada Nobody".to_owned(), ..ada() },
        Person { name: " Nobody".to_owned(), ..bare.clone() },
    ];
    check!(report, values::rename_all(&[ada(), bare.clone()], "Nobody"), renamed);
    check!(report, values::rename_all(&[], "Nobody"), vec![]);
}

fn ada() -> Person {
    Person {
        name: "Ada".to_owned(),
        age: 36,
        birthplace: Some(Point { x: 51.5, y: -0.125 }),
        nicknames: vec!["Enchantress of Numbers".to_owned(), "Ⅰ".to_owned()],
        favourite: Color::Green,
        access: Access::WRITE | Access::RENAME | Access::ADMINISTER,
        shape: Shape::Polygon(square()),
        initial: 'A',
    }
}

fn square() -> Vec<Point> {
    [(0.0, 0.0), (2.0, 0.0), (2.0, 2.0), (0.0, 2.0)].map(|(x, y)| Point { x, y }).to_vec()
}
