//! Load and single requests for the web servers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;

use crate::stage::{Stage, run};
use crate::{deadline, programs::corpus};

/// Fills a folder with files for a web server and returns their paths in URLs.
pub fn site(root: &Path, rng: &mut Rng) -> Vec<String> {
    let mut paths = vec!["/".to_owned(), "/sub/".to_owned()];
    std::fs::create_dir_all(root.join("sub")).expect("a folder can be made here");
    for number in 0..rng.u32(10..30) {
        let folder = ["", "sub/"][rng.usize(..2)];
        let ending = ["html", "txt", "css", "png"][rng.usize(..4)];
        let path = format!("{folder}page-{number}.{ending}");
        let size = match rng.u32(..12) {
            0 => 0,
            1 => 300_000,
            2 => 70_000,
            _ => 3_000,
        };
        let text = vec![b'x'; rng.usize(..=size)];
        std::fs::write(root.join(&path), text).expect("a file can be written here");
        paths.push(format!("/{path}"));
    }
    for index in ["index.html", "sub/index.html"] {
        let text = corpus::text(rng.usize(1..100), rng);
        std::fs::write(root.join(index), text).expect("a file can be written here");
    }
    paths
}

/// Runs wrk for a second: a mix of paths that exist and some that do not, over connections that
/// are kept and some that are closed.
pub fn load(stage: &Stage, port: u16, paths: &[String], rng: &mut Rng) {
    let list: Vec<_> = paths.iter().map(|path| format!("{path:?}")).collect();
    let script = stage.file(
        "load.lua",
        format!(
            "paths = {{ {}, \"/missing\", \"/sub/missing.png\" }}\n\
             function init(args) math.randomseed({}) end\n\
             function request()\n\
             local headers = {{}}\n\
             if math.random({}) == 1 then headers[\"Connection\"] = \"close\" end\n\
             if math.random(4) == 1 then headers[\"Range\"] = \"bytes=10-200\" end\n\
             return wrk.format(\"GET\", paths[math.random(#paths)], headers)\n\
             end\n",
            list.join(", "),
            rng.u32(..),
            rng.u32(1..20),
        ),
    );
    // No HEAD: wrk waits for a body that never comes.
    let connections = ["1", "2", "8", "32"][rng.usize(..4)];
    let url = format!("http://127.0.0.1:{port}/");
    let printed = run(stage
        .unwatched("wrk")
        .args(["-t1", "-d1s", "-c", connections, "-s"])
        .arg(script)
        .arg(url));
    assert!(printed.contains("requests in"), "{printed}");
}

/// Sends one request, and returns the whole answer.
pub fn request(port: u16, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    stream
        .set_read_timeout(Some(deadline()))
        .expect("the timeout is not zero");
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).expect("the server reads");
    let mut answer = Vec::new();
    // A server that refuses a body may close before it has read it.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends one request whose answer must have this status.
#[track_caller]
pub fn expect(status: u16, port: u16, method: &str, path: &str, body: &str) -> String {
    let answer = request(port, method, path, body);
    assert!(
        answer.split(' ').nth(1) == Some(&status.to_string()),
        "{method} {path}: wanted {status}, got {answer:?}"
    );
    answer
}

/// Sends a request in pieces, as slow clients do.
pub fn dribble(port: u16, path: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    stream.set_nodelay(true).expect("it is a socket");
    for piece in [
        "GET ",
        path,
        " HTTP/1.1\r\nHost: a\r\n",
        "Connection: close\r\n",
        "\r\n",
    ] {
        stream
            .write_all(piece.as_bytes())
            .expect("the server reads");
        std::thread::sleep(Duration::from_millis(3));
    }
    let _ = stream.read_to_end(&mut Vec::new());
}
