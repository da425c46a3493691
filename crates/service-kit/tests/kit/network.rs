//! A bad network between clients and a service: pieces, delays, resets. What arrives is right, what
//! breaks leaves nothing behind.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use service_kit::testing::{Connection, Fault, PATIENCE, Proxy, wait_until};

use crate::support::start;

#[test]
fn whole_replies_or_none_come_through_a_bad_network() {
    let service = start(&[("WORKERS", "2")]);
    let proxy = Proxy::start(service.listen_addr);
    let (mut whole, mut broken) = (0, 0);
    for seed in 0..4 {
        let late = Duration::from_millis(2);
        proxy.set_and_cut(Fault::Flaky {
            seed,
            late,
            resets: 2,
        });
        for _ in 0..3 {
            let mut connection = Connection::open(proxy.addr);
            for (target, length) in [("/ok", 13), ("/nowhere", 0), ("/big", 100_000), ("/ok", 13)] {
                let Ok(answer) = connection.try_get(target) else {
                    broken += 1;
                    break;
                };
                whole += 1;
                let is_right = match target {
                    "/nowhere" => answer.status == 404,
                    _ => answer.status == 200 && answer.body.len() == length,
                };
                assert!(is_right, "seed {seed}: {target}: {}", answer.status);
            }
        }
    }
    eprintln!("{whole} whole replies, {broken} connections broke");
    assert!(whole > 10 && broken > 1, "{whole} whole, {broken} broken");
    // What was reset is let go of, and others never noticed.
    drop(proxy);
    wait_until("nothing is left", || {
        service.metric("null_connections") < 0.5 && service.metric("null_requests_in_flight") < 0.5
    });
    assert_eq!(service.get("/ok").status, 200);
}

#[test]
fn a_bad_network_passes_all_bytes_and_resets_as_many_connections_as_it_was_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap());
    // Says everything back, to one connection at a time.
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let _ = std::io::copy(&mut &stream, &mut &stream);
        }
    });
    let sent: Vec<u8> = (0..20_000_u32)
        .map(|number| number.to_le_bytes()[0])
        .collect();
    let ask = |resets: u64| {
        let late = Duration::from_micros(100);
        let seed = 7;
        proxy.set_and_cut(Fault::Flaky { seed, late, resets });
        let mut stream = TcpStream::connect(proxy.addr)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut back = vec![0; sent.len()];
        stream.write_all(&sent)?;
        stream.read_exact(&mut back).map(|()| back == sent)
    };
    assert!(ask(0).unwrap(), "no byte is lost, doubled or moved");
    assert!(ask(1).is_err(), "every one is reset");
}
