//! The costliest and the strangest requests: each gets the contract's answer, and others are served
//! meanwhile.

use qrcode_core::{FIELD_SIDE, Field, Message, Symbol, Turn};
use service_kit::testing::Running;

use crate::start;

const INVALID: &str = "TEAMID,AWSACCOUNT\nINVALID";

fn ask(service: &Running, query: &str) -> String {
    let answer = service.get(&format!("/qrcode?{query}"));
    assert_eq!(answer.status, 200, "{query}");
    answer.text()
}

#[test]
fn huge_and_odd_parameters_are_invalid() {
    let service = start(&[("WORKERS", "1")]);
    let long = "x".repeat(15_000);
    for query in [
        format!("type=encode&data={long}"),
        format!("type=decode&data={long}"),
        format!("type={long}&data=a"),
        format!("type=decode&data={}", "0x0".repeat(5_000)),
        format!("type=decode&data={}", "0xffffffff".repeat(1_500)),
        format!("type=decode&data={}", "%30x0".repeat(3_000)),
        "type=encode&data=%00".to_owned(),
        "type=encode&data=a%00b".to_owned(),
        "type=encode&data=%7F".to_owned(),
        "type=encode&data=%C3%A9".to_owned(),
        "type=encode&data=%".to_owned(),
        "type=encode%00&data=a".to_owned(),
        "type=decode&data=%00".to_owned(),
        "type=decode&data=0x%00".repeat(9),
        "type=decode&data=".to_owned(),
        "&".repeat(16_000),
        "=".repeat(16_000),
        "%25".repeat(5_000),
    ] {
        assert_eq!(ask(&service, &query), INVALID, "{query}");
    }
    // What surrounds a right request does not matter, however much it is.
    let right = ask(&service, "type=encode&data=CC%20Team");
    assert_ne!(right, INVALID);
    let noise = "a=%zz&".repeat(2_500);
    assert_eq!(
        ask(&service, &format!("{noise}type=encode&data=CC+Team")),
        right
    );
}

/// The text of a field.
fn words(field: &Field) -> String {
    let mut words = Vec::new();
    field.write_words(&mut words);
    String::from_utf8(words).expect("ASCII")
}

#[test]
fn symbols_of_maximal_size_are_written_and_read() {
    let service = start(&[("WORKERS", "1")]);
    let text = b"~".repeat(22);
    let message = Message::try_from(text.as_slice()).expect("22 are allowed");
    let reply = ask(&service, &format!("type=encode&data={}", "%7E".repeat(22)));
    let mut expected = b"TEAMID,AWSACCOUNT\n".to_vec();
    qrcode_core::encode(&message, &mut expected);
    assert_eq!(reply.as_bytes(), expected);
    assert_eq!(
        ask(&service, &format!("type=encode&data={}", "~".repeat(23))),
        INVALID
    );
    let symbol = Symbol::new(&message);
    let far = FIELD_SIDE - 25;
    for (row, col) in [(0, 0), (0, far), (far, 0), (far, far)] {
        for turn in Turn::ALL {
            let mut field = Field::new([u32::MAX; FIELD_SIDE]);
            field.place(&symbol, row, col, turn).expect("it fits");
            let reply = ask(&service, &format!("type=decode&data={}", words(&field)));
            assert_eq!(reply, format!("TEAMID,AWSACCOUNT\n{}", "~".repeat(22)));
        }
    }
}

/// Seconds that the service has computed so far, by the clock of the scheduler.
fn computed(service: &Running) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{}/task", service.pid()));
    let nanos = threads
        .expect("a running process")
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanos.sum::<f64>() / 1e9
}

/// What so many requests of this text cost.
fn cost(service: &Running, text: &str) -> f64 {
    let mut connection = service.connect();
    let target = format!("/qrcode?type=decode&data={text}");
    assert_eq!(connection.get(&target).status, 200);
    let before = computed(service);
    for _ in 0..1_000 {
        assert_eq!(connection.get(&target).status, 200);
    }
    computed(service) - before
}

/// Decoding needs no budget that could be exhausted: a field has 32 words, and no content of it costs
/// much more than another.
#[test]
fn no_field_costs_many_times_what_another_does() {
    let service = start(&[("WORKERS", "1")]);
    let message = Message::try_from(&b"a"[..]).expect("a message");
    let plain = cost(&service, &words(&Field::new([0; FIELD_SIDE])));
    // Finders everywhere, so that many places look like a symbol.
    let mut crowded = Field::new([0; FIELD_SIDE]);
    for place in 0..12 {
        let turn = Turn::ALL[place % 4];
        let _ = crowded.place(&Symbol::new(&message), place, 11 - place, turn);
    }
    let stripes = Field::new(std::array::from_fn(|row| {
        [0xaaaa_aaaa, 0x5555_5555][row % 2]
    }));
    let rings = Field::new(std::array::from_fn(|row| {
        [
            0xfefe_fefe,
            0x8282_8282,
            0xbaba_baba,
            0xbaba_baba,
            0xbaba_baba,
            0x8282_8282,
            0xfefe_fefe,
            0,
        ][row % 8]
    }));
    for (name, field) in [("crowded", crowded), ("stripes", stripes), ("rings", rings)] {
        let hostile = cost(&service, &words(&field));
        eprintln!("1,000 requests: {plain:.3} s plain, {hostile:.3} s {name}");
        assert!(
            hostile < 20.0 * plain + 0.5,
            "{name}: {hostile} against {plain}"
        );
    }
}

#[test]
fn pictures_of_maximal_size_are_drawn_while_others_are_served() {
    let service = start(&[("WORKERS", "1"), ("REQUEST_DEADLINE_MS", "600000")]);
    let data = "x".repeat(2_953);
    let target = format!("/qrcode/image?symbol=standard&scale=22&data={data}");
    let right = ask(&service, "type=encode&data=a");
    let mut connections: Vec<_> = (0..3).map(|_| service.connect()).collect();
    for connection in &mut connections {
        connection.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
    }
    for _ in 0..50 {
        assert_eq!(ask(&service, "type=encode&data=a"), right);
    }
    for connection in &mut connections {
        let answer = connection.reply().expect("a whole reply");
        assert_eq!(answer.status, 200);
        assert!(answer.body.starts_with(b"\x89PNG"));
    }
    for query in [
        format!("symbol=standard&scale=23&data={data}"),
        format!("symbol=standard&data={data}x"),
        format!("data={}", "x".repeat(15_000)),
        "data=%00".to_owned(),
        "scale=99999999999999999999&data=a".to_owned(),
        "scale=%00&data=a".to_owned(),
    ] {
        let answer = service.get(&format!("/qrcode/image?{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
    }
}
