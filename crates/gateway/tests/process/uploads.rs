//! Bodies that are too long for a request.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use brim_wire::link::Reason;
use brim_wire::reply::Control;

use crate::support::{Ask, Front, eventually, start};
use crate::trials;

trials! {
    a_long_body_without_a_place_is_413
    a_long_body_goes_to_a_file_that_goes_with_the_answer
    a_handler_keeps_what_it_has_moved
    an_upload_that_is_aborted_or_refused_leaves_no_file
    an_upload_where_nothing_can_be_written_is_500
    an_upload_that_fills_the_disk_is_500_and_costs_nothing_else
    a_body_is_streamed_as_the_handler_asks_for_it
    a_body_of_unknown_length_is_streamed_when_it_is_long
}

const LONG: usize = 300_000;

fn store() -> (tempfile::TempDir, String) {
    // Not in /tmp, where no gateway may have uploads, even if this is built there.
    let folder = tempfile::tempdir_in("/var/lib");
    let folder = folder.or_else(|_| tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let keys = format!("upload_store = {}\nupload_mode = 0644", folder.path().display());
    (folder, keys)
}

fn body() -> Vec<u8> {
    (0..LONG).map(|at| u8::try_from(at % 249).unwrap()).collect()
}

fn post(front: &mut Front, length: Option<u64>) -> u64 {
    front.ask(&Ask { method: "POST", target: "/up", body: Some(length), ..Ask::default() })
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

fn a_long_body_without_a_place_is_413() {
    let (_gateway, mut front, puppet) = start("max_inline = 20480");
    let exchange = post(&mut front, Some(20_481));
    assert_eq!(front.answer(exchange).cancel, Some((Reason::TooLarge, 0)));
    let exchange = post(&mut front, None);
    front.data(exchange, &[b'x'; 20_480], false);
    front.data(exchange, b"x", true);
    assert_eq!(front.answer(exchange).cancel, Some((Reason::TooLarge, 0)));
    assert!(puppet.hears_nothing());
    let exchange = post(&mut front, None);
    front.data(exchange, &[b'x'; 20_480], true);
    assert_eq!(puppet.hear().body.len(), 20_480);
}

fn a_long_body_goes_to_a_file_that_goes_with_the_answer() {
    let (folder, keys) = store();
    let (_gateway, mut front, mut puppet) = start(&keys);
    for length in [Some(LONG as u64), None] {
        let exchange = post(&mut front, length);
        front.send_body(exchange, &body());
        let begun = puppet.hear();
        let path = begun.get("x-mongrel2-upload-start");
        assert!(Path::new(&path).starts_with(folder.path()), "{path}");
        assert_eq!((begun.get("x-mongrel2-upload-done").as_str(), begun.body.len()), ("", 0));
        let done = puppet.hear();
        assert_eq!((done.id, done.get("x-mongrel2-upload-start")), (begun.id, path.clone()));
        assert_eq!(done.get("x-mongrel2-upload-done"), path);
        assert_eq!(done.get("host"), "example.com");
        assert!(std::fs::read(&path).unwrap() == body());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o644);
        puppet.answer(done.id, "stored");
        assert_eq!(front.answer(exchange).body, b"stored");
        eventually("no file", || is_empty(folder.path()).then_some(()));
    }
}

fn a_handler_keeps_what_it_has_moved() {
    let (folder, keys) = store();
    let (_gateway, mut front, mut puppet) = start(&keys);
    let exchange = post(&mut front, Some(LONG as u64));
    front.send_body(exchange, &body());
    let _ = puppet.hear();
    let done = puppet.hear();
    let kept = folder.path().join("kept");
    std::fs::rename(done.get("x-mongrel2-upload-done"), &kept).unwrap();
    puppet.answer(done.id, "kept");
    assert_eq!(front.answer(exchange).body, b"kept");
    // The next one's file is gone, so that this one's would be, too.
    let exchange = post(&mut front, Some(LONG as u64));
    front.send_body(exchange, &body());
    let _ = puppet.hear();
    let done = puppet.hear();
    puppet.answer(done.id, "");
    front.answer(exchange);
    let count = || std::fs::read_dir(folder.path()).unwrap().count();
    eventually("one file", || (count() == 1).then_some(()));
    assert!(std::fs::read(&kept).unwrap() == body());
}

fn an_upload_that_is_aborted_or_refused_leaves_no_file() {
    let (folder, keys) = store();
    let (_gateway, mut front, mut puppet) = start(&keys);
    for case in 0..3 {
        let exchange = post(&mut front, Some(LONG as u64));
        front.data(exchange, &[b'x'; 30_000], false);
        let begun = puppet.hear();
        assert!(Path::new(&begun.get("x-mongrel2-upload-start")).exists());
        match case {
            0 => {
                front.leave(exchange);
                puppet.hear_leave(begun.id);
            }
            1 => {
                puppet.reply(&[begun.id], "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
                assert_eq!(front.answer(exchange).status, 403);
            }
            _ => {
                puppet.reply(&[begun.id], "");
                let cancel = front.answer(exchange).cancel;
                assert_eq!(cancel, Some((Reason::HandlerCancelled, 0)));
            }
        }
        eventually("no file", || is_empty(folder.path()).then_some(()));
    }
    assert!(puppet.hears_nothing());
}

fn an_upload_where_nothing_can_be_written_is_500() {
    let (gateway, mut front, puppet) = start("upload_store = /proc/nowhere");
    gateway.logs("there is no such folder");
    let exchange = post(&mut front, Some(LONG as u64));
    assert_eq!(front.answer(exchange).cancel, Some((Reason::GatewayFailed, 0)));
    assert!(puppet.hears_nothing());
}

/// A small disk of its own, as long as this lives. It takes root's rights.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(folder: tempfile::TempDir, size: usize) -> Option<Self> {
        let options = format!("size={size},mode=0700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path());
        let mounted = mount.stderr(Stdio::null()).status().unwrap().success();
        assert!(mounted || !rustix::process::geteuid().is_root(), "root cannot mount a tmpfs");
        mounted.then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

fn an_upload_that_fills_the_disk_is_500_and_costs_nothing_else() {
    let (folder, keys) = store();
    let Some(disk) = SmallDisk::mount(folder, LONG + 16 * 1024) else {
        return println!("left out: only root can make a small disk");
    };
    let (gateway, mut front, mut puppet) = start(&keys);
    let first = post(&mut front, Some(LONG as u64));
    front.send_body(first, &body());
    let (begun, done) = (puppet.hear(), puppet.hear());
    assert_eq!(begun.id, done.id);
    let second = post(&mut front, Some(LONG as u64));
    front.data(second, &[b'x'; 60_000], false);
    let lost = puppet.hear();
    assert_ne!(lost.get("x-mongrel2-upload-start"), "");
    assert_eq!(front.answer(second).cancel, Some((Reason::GatewayFailed, 0)));
    puppet.hear_leave(lost.id);
    gateway.logs("No space left on device");
    // The one before is whole, and there is room for others.
    assert!(std::fs::read(done.get("x-mongrel2-upload-done")).unwrap() == body());
    puppet.answer(done.id, "stored");
    assert_eq!(front.answer(first).body, b"stored");
    eventually("no file", || is_empty(disk.0.path()).then_some(()));
    let third = post(&mut front, Some(LONG as u64));
    front.send_body(third, &body());
    let _ = puppet.hear();
    puppet.answer(puppet.hear().id, "stored, too");
    assert_eq!(front.answer(third).body, b"stored, too");
}

fn a_body_is_streamed_as_the_handler_asks_for_it() {
    let (_gateway, mut front, mut puppet) = start("upload_stream = yes");
    let exchange = post(&mut front, Some(29_000));
    front.data(exchange, &body()[..29_000], true);
    let begun = puppet.hear();
    assert_eq!((begun.get("UPLOAD_STREAM").as_str(), begun.body.len()), ("0", 0));
    assert_eq!(begun.get("METHOD"), "POST");
    assert!(puppet.hears_nothing());
    let credits = |credits| Control { credits: Some(credits), ..Control::default() };
    puppet.control(&[begun.id], credits(5000));
    let piece = puppet.hear();
    assert_eq!((piece.names(), piece.body.len()), (vec!["UPLOAD_STREAM".to_owned()], 5000));
    assert_eq!((piece.get("UPLOAD_STREAM").as_str(), piece.path.as_str()), ("0", "/up"));
    puppet.control(&[begun.id], credits(50_000));
    let (second, third) = (puppet.hear(), puppet.hear());
    assert_eq!((second.get("UPLOAD_STREAM").as_str(), second.body.len()), ("5000", 20_480));
    assert_eq!((third.get("UPLOAD_STREAM").as_str(), third.body.len()), ("25480", 3520));
    assert_eq!(
        (second.get("UPLOAD_STREAM_DONE"), third.get("UPLOAD_STREAM_DONE")),
        (String::new(), "1".into())
    );
    let all = [piece.body, second.body, third.body].concat();
    assert!(all == body()[..29_000]);
    puppet.answer(begun.id, "all");
    assert_eq!(front.answer(exchange).body, b"all");
}

fn a_body_of_unknown_length_is_streamed_when_it_is_long() {
    let (_gateway, mut front, mut puppet) = start("upload_stream = yes\nhandler_timeout = 60s");
    let exchange = post(&mut front, None);
    front.data(exchange, &body()[..10_000], true);
    let seen = puppet.hear();
    assert_eq!((seen.get("UPLOAD_STREAM").as_str(), seen.body.len()), ("", 10_000));
    puppet.answer(seen.id, "");
    front.answer(exchange);
    let exchange = post(&mut front, None);
    front.data(exchange, &body()[..60_000], false);
    let id = puppet.hear().id;
    puppet.control(&[id], Control { credits: Some(1 << 40), ..Control::default() });
    let mut got = Vec::new();
    while got.len() < 60_000 {
        got.extend(puppet.hear().body);
    }
    front.data(exchange, b"", true);
    let last = puppet.hear();
    assert_eq!((last.get("UPLOAD_STREAM_DONE").as_str(), last.body.len()), ("1", 0));
    assert!(got == body()[..60_000]);
    puppet.answer(id, "");
    assert_eq!(front.answer(exchange).status, 200);
}
