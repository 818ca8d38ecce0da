use crate::exports::tombolo::pair::values::{Access, Color, Guest, Person, Point, Shape};

impl Guest for crate::Callee {
    fn greet(name: String) -> String {
        format!("Hello, {name}!")
    }

    fn reverse(text: String) -> String {
        text.chars().rev().collect()
    }

    fn scalars(
        a: bool,
        b: i8,
        c: u8,
        d: i16,
        e: u16,
        f: i32,
        g: u32,
        h: i64,
        i: u64,
        j: f32,
        k: f64,
        l: char,
    ) -> (bool, i8, u8, i16, u16, i32, u32, i64, u64, f32, f64, char) {
        (!a, !b, !c, !d, !e, !f, !g, !h, !i, -j, -k, if l == 'λ' { '\u{10FFFF}' } else { l })
    }

    fn sum_of_many(
        a: u64,
        b: u8,
        c: u64,
        d: u8,
        e: u64,
        f: u8,
        g: u64,
        h: u8,
        i: u64,
        j: u8,
        k: u64,
        l: u8,
        m: u64,
        n: u8,
        o: u64,
        p: u8,
        q: u64,
        r: u8,
    ) -> u64 {
        let bytes = [b, d, f, h, j, l, n, p, r];
        a + c + e + g + i + k + m + o + q + bytes.into_iter().map(u64::from).sum::<u64>()
    }

    fn sum(numbers: Vec<i64>) -> i64 {
        numbers.iter().sum()
    }

    fn echo_bytes(bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    fn first_even(numbers: Vec<u32>) -> Option<u32> {
        numbers.into_iter().find(|n| n % 2 == 0)
    }

    fn swap((number, text): (u8, String)) -> (String, u8) {
        (text, number)
    }

    fn area(shape: Shape) -> Result<f64, String> {
        match shape {
            Shape::Dot => Ok(0.0),
            Shape::Circle(radius) => Ok(radius * radius * 3.0),
            Shape::Polygon(corners) => Ok(area(&corners)),
            Shape::Named(name) => Err(format!("what is a {name}?")),
        }
    }

    fn check(access: Access) -> Result<Access, Color> {
        if access.contains(Access::EXECUTE) { Err(Color::Blue) } else { Ok(access | Access::ADMINISTER) }
    }

    fn nest(value: Option<Option<u16>>) -> Result<Option<Result<u16, String>>, Vec<String>> {
        match value {
            None => Err(vec!["no".to_owned(), String::new(), "value".to_owned()]),
            Some(None) => Ok(None),
            Some(Some(0)) => Ok(Some(Err("zero".to_owned()))),
            Some(Some(n)) => Ok(Some(Ok(n + 1))),
        }
    }

    fn succeed(really: bool) -> Result<(), ()> {
        if really { Ok(()) } else { Err(()) }
    }

    fn older(mut person: Person, years: u8) -> Person {
        person.age += years;
        person.nicknames.push(format!("old {}", person.name));
        person
    }

    fn rename_all(people: Vec<Person>, name: String) -> Vec<Person> {
        people
            .into_iter()
            .map(|person| Person { name: format!("{} {name}", person.name), ..person })
            .collect()
    }
}

fn area(corners: &[Point]) -> f64 {
    let next = corners.iter().cycle().skip(1);
    corners.iter().zip(next).map(|(a, b)| a.x * b.y - b.x * a.y).sum::<f64>().abs() / 2.0
}
