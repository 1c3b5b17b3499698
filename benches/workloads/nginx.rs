//! nginx with a static file under wrk.

use std::net::TcpStream;

use rustix::process::Signal;

use super::stage::{Service, Stage, free_port, run, tool, user};
use super::{Kind, Size, Unit, Workload};
use crate::Failure;

pub const KIND: Kind = Kind {
    name: "nginx",
    what: "one worker under wrk with 16 connections, a file of 4 KiB",
    unit: Unit::Rate("requests/s"),
    begin,
};

struct Nginx {
    port: u16,
    // Ended before its folder is removed.
    _service: Service,
    stage: Stage,
}

fn begin() -> Result<Box<dyn Workload>, Failure> {
    tool("nginx", "nginx")?;
    tool("wrk", "wrk")?;
    user("www-data", "base-passwd")?;
    let stage = Stage::new("nginx")?;
    let port = free_port()?;
    let folder = stage.folder("www")?;
    std::fs::write(
        folder.join("index.html"),
        "a line of text\n".repeat(4096 / 15),
    )?;
    let here = stage.path("");
    let here = here.display();
    // Requests are logged, as they are by default, but the log does not grow.
    let configuration = stage.file(
        "nginx.conf",
        format!(
            "daemon off;\n\
             user www-data;\n\
             worker_processes 1;\n\
             pid {here}nginx.pid;\n\
             error_log {here}error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{\n\
             types {{ text/html html; }}\n\
             sendfile on;\n\
             access_log /dev/null combined;\n\
             client_body_temp_path {here}body;\n\
             proxy_temp_path {here}body;\n\
             fastcgi_temp_path {here}body;\n\
             uwsgi_temp_path {here}body;\n\
             scgi_temp_path {here}body;\n\
             server {{ listen 127.0.0.1:{port}; root {here}www; }}\n\
             }}\n"
        ),
    )?;
    let mut command = stage.command("nginx");
    command.arg("-c").arg(configuration);
    let mut service = Service::start(&mut command, Signal::TERM, stage.path("nginx.out"))?;
    service.until(|| TcpStream::connect(("127.0.0.1", port)).ok())?;
    Ok(Box::new(Nginx {
        port,
        _service: service,
        stage,
    }))
}

impl Workload for Nginx {
    fn work(&mut self, size: Size) -> Result<(f64, f64), Failure> {
        let seconds = match size {
            Size::Short => "1s",
            Size::Full => "2s",
        };
        let mut wrk = self.stage.command("wrk");
        wrk.args(["-t", "1", "-c", "16", "-d", seconds])
            .arg(format!("http://127.0.0.1:{}/", self.port));
        let printed = run(&mut wrk)?;
        if let Some(errors) = printed.lines().find(|line| line.contains("Non-2xx")) {
            return Err(format!("nginx: {}", errors.trim()).into());
        }
        let rate = printed
            .lines()
            .find_map(|line| line.strip_prefix("Requests/sec:"));
        // "  61234 requests in 2.00s, 250.1MB read"
        let requests = printed
            .lines()
            .find_map(|line| line.split_once(" requests in "));
        let (Some(rate), Some((requests, _))) = (rate, requests) else {
            return Err(format!("wrk printed {printed}").into());
        };
        Ok((rate.trim().parse()?, requests.trim().parse()?))
    }
}
