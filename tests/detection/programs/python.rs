//! A web server of Python's own `http.server`, with two holes that ordinary requests do not meet.

use std::net::TcpListener;

use fastrand::Rng;
use rustix::process::Signal;

use super::corpus;
use crate::http;
use crate::program::{Abuse, Life, Program, STARTING, Session, Training};
use crate::stage::{Service, Stage, free_port};

const ABUSES: &[Abuse] = &[
    Abuse::new("shell", "a request's parameter reaches a shell", STARTING),
    Abuse::new(
        "connect back",
        "injected code connects to the attacker, without any command",
        &["socket", "connect"],
    ),
    Abuse::new(
        "drop a file",
        "injected code writes a file and makes it executable",
        &["openat", "write", "chmod"],
    ),
    Abuse::hidden("read a file", "injected code reads /etc/passwd"),
    Abuse::hidden(
        "other files",
        "injected code has the server's own code serve /etc/passwd",
    ),
];

/// The server. Its holes are as found in the wild: a parameter in a command, and one in `exec`.
const SERVER: &str = r#"
import http.server, os, signal, subprocess, sys, urllib.parse

class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/lookup":
            self.answer(subprocess.run("echo " + query["host"], shell=True, capture_output=True).stdout)
        elif url.path == "/plugin":
            self.answer(self.plugin(query["code"]))
        else:
            super().do_GET()

    def plugin(self, code):
        scope = {"self": self}
        exec(code, scope)
        return scope["answer"]

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

def stop(number, frame):
    raise SystemExit(0)

signal.signal(signal.SIGTERM, stop)
os.chdir(sys.argv[2])
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"#;

pub const PYTHON: Program = Program {
    name: "python3 http.server",
    executable: || "/usr/bin/python3".into(),
    version: &["--version"],
    load: "static files and folder listings under wrk, a thread a connection",
    training: Training {
        short: 15,
        least: 25,
        most: 30,
        quiet: 5,
    },
    abuses: ABUSES,
    begin,
};

fn begin<'a>(stage: &'a Stage, _life: Life, rng: &mut Rng) -> Box<dyn Session + 'a> {
    let root = corpus::empty(stage, "www");
    let mut paths = http::site(&root, rng);
    stage.folder("www/listed");
    paths.push("/listed/".to_owned());
    let port = free_port();
    let mut command = stage.watched("python3");
    command
        .arg(stage.file("server.py", SERVER))
        .arg(port.to_string())
        .arg(root);
    let mut service = Service::start(&mut command, stage.path("server.out"));
    service.until_listening(port);
    Box::new(Server {
        stage,
        port,
        paths,
        service,
    })
}

struct Server<'a> {
    stage: &'a Stage,
    port: u16,
    paths: Vec<String>,
    service: Service,
}

impl Server<'_> {
    /// Has the server execute this, which must leave a byte string in `answer`.
    fn inject(&self, code: &str) -> String {
        let encoded: String = code.bytes().map(|byte| format!("%{byte:02x}")).collect();
        http::expect(
            200,
            self.port,
            "GET",
            &format!("/plugin?code={encoded}"),
            "",
        )
    }
}

impl Session for Server<'_> {
    fn work(&mut self, rng: &mut Rng) {
        http::load(self.stage, self.port, &self.paths, rng);
        self.little_work(rng);
    }

    fn little_work(&mut self, rng: &mut Rng) {
        for _ in 0..rng.u32(3..10) {
            let path = &self.paths[rng.usize(..self.paths.len())];
            let method = ["GET", "GET", "HEAD"][rng.usize(..3)];
            http::expect(200, self.port, method, path, "");
        }
        http::expect(404, self.port, "GET", "/missing", "");
        http::expect(501, self.port, "POST", "/", "a=b");
        http::expect(301, self.port, "GET", "/sub", "");
        http::dribble(self.port, "/");
    }

    fn abuse(&mut self, abuse: &Abuse, _rng: &mut Rng) {
        match abuse.name {
            "shell" => {
                let answer = http::expect(200, self.port, "GET", "/lookup?host=a;id", "");
                assert!(answer.contains("uid="), "{answer}");
            }
            "connect back" => {
                let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
                let port = listener.local_addr().expect("it is bound").port();
                self.inject(&format!(
                    "import socket\nsocket.create_connection(('127.0.0.1', {port}))\nanswer = b''"
                ));
                listener.accept().expect("it connected");
            }
            "drop a file" => {
                let mark = self.stage.path("mark");
                self.inject(&format!(
                    "import os\nopen({0:?}, 'w').write('#!/bin/sh')\nos.chmod({0:?}, 0o755)\n\
                     answer = b''",
                    mark.display().to_string()
                ));
                corpus::must_have_left(&mark);
            }
            "read a file" => {
                let answer = self.inject("answer = open('/etc/passwd', 'rb').read()");
                assert!(answer.contains("root:"));
            }
            "other files" => {
                let answer = self.inject(
                    "import http.server\nself.translate_path = lambda path: '/etc/passwd'\n\
                     http.server.SimpleHTTPRequestHandler.do_GET(self)\nanswer = b''",
                );
                assert!(answer.contains("root:"));
            }
            other => unreachable!("{other}"),
        }
    }

    fn end(self: Box<Self>) {
        self.service.end(Signal::TERM);
    }
}
