//! nginx with static files under wrk; abused by whoever may change its configuration.

use std::fs;
use std::net::{TcpListener, TcpStream};

use fastrand::Rng;
use rustix::process::Signal;

use super::corpus;
use crate::eventually;
use crate::http;
use crate::program::{Abuse, Life, Program, STARTING, Session, Training};
use crate::stage::{Service, Stage, free_port, give, run, user};

const ABUSES: &[Abuse] = &[
    Abuse::new(
        "listing",
        "a changed configuration lists the system's folders",
        &["getdents64"],
    ),
    Abuse::new(
        "proxy",
        "a changed configuration hands requests on to another server",
        &["connect", "socket"],
    ),
    Abuse::new(
        "upload",
        "a changed configuration lets anybody store files",
        &["rename", "pwrite64", "mkdir", "unlink", "chmod"],
    ),
    Abuse::new(
        "module",
        "a module is loaded that runs a shell for a request",
        STARTING,
    ),
    Abuse::hidden(
        "other files",
        "a changed configuration serves /etc as static files",
    ),
];

pub const NGINX: Program = Program {
    name: "nginx",
    executable: || "/usr/sbin/nginx".into(),
    version: &["-v"],
    load: "static files under wrk: any size, ranges, HEAD, errors, kept and closed connections; reloads",
    training: Training {
        short: 15,
        least: 20,
        most: 25,
        quiet: 5,
    },
    abuses: ABUSES,
    begin,
};

fn begin<'a>(stage: &'a Stage, _life: Life, rng: &mut Rng) -> Box<dyn Session + 'a> {
    let root = corpus::empty(stage, "www");
    let paths = http::site(&root, rng);
    for folder in ["body", "uploads"] {
        give(&stage.folder(folder), user("www-data"));
    }
    let port = free_port();
    let mut server = Server {
        stage,
        port,
        paths,
        service: None,
    };
    server.configure("", "");
    let mut command = stage.watched("nginx");
    command.arg("-c").arg(stage.path("nginx.conf"));
    let mut service = Service::start(&mut command, stage.path("nginx.out"));
    service.until_listening(port);
    server.service = Some(service);
    Box::new(server)
}

struct Server<'a> {
    stage: &'a Stage,
    port: u16,
    paths: Vec<String>,
    service: Option<Service>,
}

impl Server<'_> {
    /// Writes the configuration, with something more at its head and among its locations.
    fn configure(&self, head: &str, locations: &str) {
        let directory = self.stage.path("");
        let directory = directory.display();
        let port = self.port;
        self.stage.file(
            "nginx.conf",
            format!(
                "{head}\n\
                 daemon off;\n\
                 user www-data;\n\
                 worker_processes 2;\n\
                 pid {directory}nginx.pid;\n\
                 error_log {directory}error.log;\n\
                 events {{ worker_connections 256; }}\n\
                 http {{\n\
                 types {{ text/html html; text/plain txt; text/css css; image/png png; }}\n\
                 sendfile on;\n\
                 gzip on;\n\
                 access_log {directory}access.log;\n\
                 client_body_temp_path {directory}body;\n\
                 proxy_temp_path {directory}body;\n\
                 fastcgi_temp_path {directory}body;\n\
                 uwsgi_temp_path {directory}body;\n\
                 scgi_temp_path {directory}body;\n\
                 server {{\n\
                 listen 127.0.0.1:{port};\n\
                 root {directory}www;\n\
                 {locations}\n\
                 }}\n\
                 }}\n"
            ),
        );
    }

    /// The workers that serve, by the master's count of its children.
    fn workers(&self) -> Vec<u32> {
        let pid = self.service.as_ref().expect("it runs").pid();
        let path = format!("/proc/{pid}/task/{pid}/children");
        let text = fs::read_to_string(path).expect("the master lives");
        text.split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect()
    }

    /// Has the configuration read again, and waits until only new workers serve.
    fn reload(&self) {
        let old = self.workers();
        run(self
            .stage
            .watched("nginx")
            .arg("-c")
            .arg(self.stage.path("nginx.conf"))
            .args(["-s", "reload"]));
        eventually("new workers to serve", || {
            let new = self.workers();
            (new.len() == 2 && !new.iter().any(|pid| old.contains(pid))).then_some(())
        });
    }

    fn ask(&self, status: u16, method: &str, path: &str, body: &str) -> String {
        http::expect(status, self.port, method, path, body)
    }
}

impl Session for Server<'_> {
    fn work(&mut self, rng: &mut Rng) {
        http::load(self.stage, self.port, &self.paths, rng);
        self.little_work(rng);
        if rng.bool() {
            self.reload();
            self.little_work(rng);
        }
    }

    fn little_work(&mut self, rng: &mut Rng) {
        for _ in 0..rng.u32(3..10) {
            let path = &self.paths[rng.usize(..self.paths.len())];
            let method = ["GET", "GET", "HEAD"][rng.usize(..3)];
            self.ask(200, method, path, "");
        }
        self.ask(404, "GET", "/missing", "");
        self.ask(405, "POST", "/", "a=b");
        self.ask(301, "GET", "/sub", "");
        http::dribble(self.port, "/");
        // Connected, and gone without a word.
        drop(TcpStream::connect(("127.0.0.1", self.port)).expect("it listens"));
    }

    fn abuse(&mut self, abuse: &Abuse, _rng: &mut Rng) {
        let directory = self.stage.path("");
        let directory = directory.display();
        match abuse.name {
            "listing" => {
                self.configure("", "location /all/ { alias /etc/; autoindex on; }");
                self.reload();
                assert!(self.ask(200, "GET", "/all/", "").contains("passwd"));
            }
            "proxy" => {
                let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
                let port = listener.local_addr().expect("it is bound").port();
                let other = std::thread::spawn(move || {
                    use std::io::{Read, Write};
                    let (mut stream, _) = listener.accept().expect("it connects");
                    let asked = stream.read(&mut [0; 4096]).expect("it asks");
                    assert!(asked > 0, "it asks");
                    let answer = b"HTTP/1.0 200 OK\r\n\r\nfrom elsewhere";
                    stream.write_all(answer).expect("it listens");
                });
                let proxy = format!("location /in/ {{ proxy_pass http://127.0.0.1:{port}; }}");
                self.configure("", &proxy);
                self.reload();
                let answer = self.ask(200, "GET", "/in/", "");
                assert!(answer.contains("from elsewhere"));
                other.join().expect("it was asked");
            }
            "upload" => {
                let store = format!(
                    "location /up/ {{ alias {directory}uploads/; dav_methods PUT DELETE MKCOL; \
                     create_full_put_path on; }}"
                );
                self.configure("", &store);
                self.reload();
                self.ask(201, "PUT", "/up/shell.php", "<?php system($_GET['c']); ?>");
                corpus::must_have_left(&self.stage.path("uploads/shell.php"));
            }
            "module" => {
                let head = "load_module /usr/lib/nginx/modules/ngx_http_perl_module.so;";
                let shell = "location /run { perl 'sub { my $r = shift; \
                             $r->send_http_header(\"text/plain\"); $r->print(`id`); return OK; }'; }";
                self.configure(head, shell);
                self.reload();
                assert!(self.ask(200, "GET", "/run", "").contains("uid="));
            }
            "other files" => {
                self.configure("", "location /all/ { alias /etc/; }");
                self.reload();
                assert!(self.ask(200, "GET", "/all/passwd", "").contains("root:"));
            }
            other => unreachable!("{other}"),
        }
    }

    fn end(mut self: Box<Self>) {
        self.service.take().expect("it runs").end(Signal::QUIT);
    }
}
