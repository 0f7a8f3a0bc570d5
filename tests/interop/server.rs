//! The servers that handlers connect to: Brim, and Mongrel2 as Debian packages it.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::{Client, PATIENCE};

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Brim,
    Mongrel2,
}

/// A handler section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) protocol: &'static str,
    pub(crate) is_ipc: bool,
    /// What only Brim has.
    pub(crate) keys: &'static str,
}

/// Both encodings, both transports.
pub(crate) const BOTH: [Section; 2] = [
    Section { name: "json", protocol: "json", is_ipc: false, keys: "" },
    Section { name: "tnet", protocol: "tnetstring", is_ipc: true, keys: "" },
];

/// A server with its folder, which both end when it is dropped.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    /// Where uploads go.
    pub(crate) uploads: PathBuf,
    /// The gateway is the first one.
    processes: Mutex<Vec<Process>>,
    specs: Vec<(&'static str, String, String)>,
    folder: tempfile::TempDir,
}

/// A process that is killed when it is dropped.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(
            command
                .stdin(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| panic!("{command:?}: {error}")),
        )
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw);
        let _ = pid.map(|pid| rustix::process::kill_process(pid, signal));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// With these handlers at `/NAME/`, `@NAME` and `<NAME`; `stream` for uploads that come in pieces.
    pub(crate) fn start(kind: Kind, sections: &[Section], stream: bool) -> Self {
        // Brim takes no uploads below /tmp, and the path of a socket is short.
        let folder = tempfile::tempdir_in("/run").or_else(|_| tempfile::tempdir());
        let folder = folder.expect("a folder");
        let uploads = folder.path().join("uploads");
        fs::create_dir(&uploads).expect("a folder for uploads");
        let specs: Vec<_> = sections.iter().map(|section| specs(section, folder.path())).collect();
        let address = free_address();
        let server = Self { kind, address, uploads, processes: Mutex::default(), specs, folder };
        match kind {
            Kind::Brim => server.brim(sections, stream),
            Kind::Mongrel2 => server.mongrel2(sections, stream),
        }
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            for process in server.processes().iter_mut() {
                assert!(matches!(process.0.try_wait(), Ok(None)), "{kind:?} has ended");
            }
            assert!(Instant::now() < deadline, "{kind:?} does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    /// Where a handler of this section connects to.
    pub(crate) fn specs(&self, name: &str) -> (&str, &str) {
        let (_, send, recv) =
            self.specs.iter().find(|(other, ..)| *other == name).expect("a section");
        (send, recv)
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn brim(&self, sections: &[Section], stream: bool) {
        let names: Vec<_> = sections.iter().map(|section| section.name).collect();
        let folder = self.folder.path();
        let mut conf = format!(
            "[wsgi]\nlisten = {}\nworkers = 2\napps = {}\n[gateway]\nlink = {}\n",
            self.address,
            names.join(" "),
            folder.join("link").display(),
        );
        for (section, (name, send, recv)) in sections.iter().zip(&self.specs) {
            conf += &format!(
                "[{name}]\ncall = handler\nroute = /{name}/ @{name} <{name}\nsend_spec = {send}\n\
                 send_ident = {name}-send\nrecv_spec = {recv}\nprotocol = {}\n{}",
                section.protocol, section.keys
            );
            conf += &if stream {
                "upload_stream = yes\n".to_owned()
            } else {
                format!("upload_store = {}\n", self.uploads.display())
            };
        }
        let path = folder.join("brim.conf");
        fs::write(&path, conf).expect("a configuration");
        for (program, section) in [("brim-gateway", "gateway"), ("brim-http", "wsgi")] {
            let process = Self::program(folder, program, section);
            self.processes().push(process);
        }
    }

    fn program(folder: &Path, program: &str, section: &str) -> Process {
        let mut command = Command::new(program_beside(program));
        command.arg("--config").arg(folder.join("brim.conf")).arg(section);
        Process::start(command.env("LOGS_DIRECTORY", folder))
    }

    fn processes(&self) -> MutexGuard<'_, Vec<Process>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the gateway by a signal, and starts another one in its place.
    pub(crate) fn replace_gateway(&self, signal: Signal) {
        let mut processes = self.processes();
        let gateway = processes.first_mut().expect("a gateway");
        gateway.signal(signal);
        let _ = gateway.0.wait();
        *gateway = Self::program(self.folder(), "brim-gateway", "gateway");
    }

    fn mongrel2(&self, sections: &[Section], stream: bool) {
        let folder = self.folder.path().display();
        let (mut handlers, mut routes) = (String::new(), Vec::new());
        for (section, (name, send, recv)) in sections.iter().zip(&self.specs) {
            handlers += &format!(
                "{name} = Handler(send_spec='{send}', send_ident='{name}-send', recv_spec='{recv}', \
                 recv_ident='', protocol='{}')\n",
                section.protocol
            );
            routes.push(format!("'/{name}/': {name}, '@{name}': {name}, '<{name}': {name}"));
        }
        let uploads = if stream {
            "\"upload.stream\": 1".to_owned()
        } else {
            format!("\"upload.temp_store\": \"{}/XXXXXX\"", self.uploads.display())
        };
        let conf = format!(
            "{handlers}main = Server(uuid='interop', name='main', default_host='localhost', \
             bind_addr='{}', port={}, chroot='', pid_file='{folder}/pid', access_log='{folder}/access', \
             error_log='{folder}/error', hosts=[Host(name='localhost', routes={{{}}})])\n\
             settings = {{\"server.daemonize\": 0, \"control_port\": \"ipc://{folder}/control\", {uploads}}}\n\
             servers = [main]\n",
            self.address.ip(),
            self.address.port(),
            routes.join(", "),
        );
        fs::write(self.folder().join("mongrel2.conf"), conf).expect("a configuration");
        let loaded = Command::new("m2sh")
            .args(["load", "--config", "mongrel2.conf", "--db", "config.sqlite"])
            .current_dir(self.folder())
            .output()
            .unwrap_or_else(|error| panic!("m2sh: {error} (Debian: apt install mongrel2-core)"));
        assert!(loaded.status.success(), "m2sh does not load: {loaded:?}");
        let mut command = Command::new("mongrel2");
        command.args(["config.sqlite", "interop"]).current_dir(self.folder()).stdout(Stdio::null());
        self.processes().push(Process::start(&mut command));
    }
}

fn specs(section: &Section, folder: &Path) -> (&'static str, String, String) {
    let name = section.name;
    if section.is_ipc {
        let spec =
            |what: &str| format!("ipc://{}", folder.join(format!("{name}.{what}")).display());
        return (name, spec("send"), spec("recv"));
    }
    let spec = || format!("tcp://{}", free_address());
    (name, spec(), spec())
}

/// An address that is free, below the ports that the kernel gives to whoever asks for any: nobody takes it before
/// the program does that it is for.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let addresses = std::iter::repeat_with(|| {
        let step = std::process::id().wrapping_mul(7) + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(10_000 + step % 20_000).expect("a port");
        SocketAddr::from(([127, 0, 0, 1], port))
    });
    let mut free = addresses.filter(|address| TcpListener::bind(address).is_ok());
    free.next().expect("a free port")
}

/// A program that is built with these tests.
pub(crate) fn program_beside(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_test-handler")).parent().expect("its folder");
    let program = folder.join(name);
    assert!(name == "examples" || program.exists(), "{name}? cargo build --workspace --bins");
    program
}
