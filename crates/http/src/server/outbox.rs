//! Small writes, sent together.
//!
//! A worker that has many requests before it answers them all and then sends what it has to say, instead of sending each
//! answer before it turns to the next request: whoever waits for one of them is not woken, and does not take the processor
//! from the worker, in the midst of the others. An answer waits for those that were ready when it was, no longer than
//! [`PATIENCE`] and one handler. Where the system has a [`Ring`] for it, what leaves together is one call.

mod ring;

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use self::ring::Ring;
use super::activity::Activity;

/// The longest write that may wait.
const SMALL: usize = 4 << 10;

/// How many sockets may have something waiting.
const MOST: usize = 16;

/// After how long what waits is sent when something is added to it.
const PATIENCE: Duration = Duration::from_micros(200);

/// What a worker's connections have to send.
pub(super) struct Outbox {
    waiting: RefCell<Vec<Rc<Post>>>,
    /// Since when the first of them has waited.
    since: Cell<Instant>,
    /// Buffers for others.
    spare: RefCell<Vec<Vec<u8>>>,
    due: Notify,
    ring: RefCell<Ring>,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Outbox {
            waiting: RefCell::default(),
            since: Cell::new(Instant::now()),
            spare: RefCell::default(),
            due: Notify::new(),
            ring: RefCell::new(Ring::new(MOST as u32)),
        }
    }

    /// Waits until there is something to send, and whatever else was ready before has run.
    pub(super) async fn due(&self) {
        self.due.notified().await;
    }

    /// Sends what waits.
    pub(super) fn send(&self) {
        let mut posts = self.waiting.borrow_mut();
        posts.retain(|post| {
            post.state.set(State::Own);
            !post.bytes.borrow().is_empty()
        });
        let mut ring = self.ring.borrow_mut();
        if posts.len() < 2 || !ring.is_there() {
            for post in &*posts {
                let outcome = post.stream.borrow().try_write(&post.bytes.borrow());
                self.was_sent(post, outcome);
            }
        } else {
            let lent: Vec<_> = posts.iter().map(|post| (post.stream.borrow(), post.bytes.borrow())).collect();
            let letters: Vec<_> =
                lent.iter().map(|(stream, bytes)| (stream.as_fd(), bytes.as_slice())).collect();
            let outcomes = ring.write(&letters);
            drop(letters);
            drop(lent);
            for (post, outcome) in posts.iter().zip(outcomes) {
                self.was_sent(post, outcome);
            }
        }
        posts.clear();
    }

    /// As much of what waits in a post was written as there was room for.
    fn was_sent(&self, post: &Post, outcome: io::Result<usize>) {
        let mut bytes = post.bytes.borrow_mut();
        match outcome {
            Ok(sent) if sent == bytes.len() => self.give_back(mem::take(&mut *bytes)),
            // The connection has to see to the rest, or hear of the error.
            outcome => {
                bytes.drain(..outcome.unwrap_or(0));
                post.state.set(State::Stuck);
                post.activity.wake();
            }
        }
    }

    fn queue(&self, post: &Rc<Post>) {
        post.state.set(State::Queued);
        let mut waiting = self.waiting.borrow_mut();
        waiting.push(post.clone());
        let now = Instant::now();
        if waiting.len() == 1 {
            self.since.set(now);
            self.due.notify_one();
        } else if waiting.len() == MOST || now.duration_since(self.since.get()) > PATIENCE {
            drop(waiting);
            self.send();
        }
    }

    fn buffer(&self) -> Vec<u8> {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < MOST && buffer.capacity() > 0 {
            buffer.clear();
            spare.push(buffer);
        }
    }
}

/// A socket, and what waits to be sent to its peer.
struct Post {
    stream: RefCell<TcpStream>,
    bytes: RefCell<Vec<u8>>,
    state: Cell<State>,
    activity: Rc<Activity>,
}

/// Who sends what waits.
#[derive(Clone, Copy)]
enum State {
    /// Nobody yet: it has not been flushed.
    Own,
    /// The outbox.
    Queued,
    /// The connection's task: the peer has not room for it.
    Stuck,
}

/// A stream whose small writes wait in an [`Outbox`].
pub(super) struct Socket {
    post: Rc<Post>,
    outbox: Rc<Outbox>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, outbox: Rc<Outbox>, activity: Rc<Activity>) -> Self {
        let post = Post {
            stream: RefCell::new(stream),
            bytes: RefCell::default(),
            state: Cell::new(State::Own),
            activity,
        };
        Socket { post: Rc::new(post), outbox }
    }

    /// Has some of what is to be written wait, if it is little. Nothing may overtake what waits.
    fn keep(&self, length: usize, parts: &[IoSlice<'_>]) -> bool {
        let mut bytes = self.post.bytes.borrow_mut();
        if bytes.len().saturating_add(length) > SMALL {
            return false;
        }
        if bytes.capacity() == 0 {
            *bytes = self.outbox.buffer();
        }
        for part in parts {
            bytes.extend_from_slice(part);
        }
        true
    }

    /// Sends what waits, now.
    fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Post { stream, bytes, .. } = &*self.post;
        let (mut stream, mut bytes) = (stream.borrow_mut(), bytes.borrow_mut());
        while !bytes.is_empty() {
            let sent = ready!(Pin::new(&mut *stream).poll_write(cx, &bytes))?;
            bytes.drain(..sent);
        }
        self.outbox.give_back(mem::take(&mut *bytes));
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.post.stream.borrow_mut()).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = parts.iter().map(|part| part.len()).sum();
        if self.keep(length, parts) {
            return Poll::Ready(Ok(length));
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut *self.post.stream.borrow_mut()).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Says yes when the outbox has it: it is as good as a buffer of the system's.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.post.state.get() {
            State::Stuck => {
                ready!(self.poll_send(cx))?;
                self.post.state.set(State::Own);
            }
            State::Own if !self.post.bytes.borrow().is_empty() => self.outbox.queue(&self.post),
            State::Own | State::Queued => {}
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut *self.post.stream.borrow_mut()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::server::Timeouts;
    use crate::server::clock::Clock;

    /// A socket of an outbox, and its peer.
    async fn pair(outbox: &Rc<Outbox>) -> (Socket, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (peer, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let activity = Rc::new(Activity::new(Rc::new(Clock::new(&Timeouts::default()))));
        (Socket::new(accepted.unwrap().0, outbox.clone(), activity), peer.unwrap())
    }

    async fn say(socket: &mut Socket, words: &[u8]) {
        socket.write_all(words).await.unwrap();
        socket.flush().await.unwrap();
    }

    async fn hear(peer: &mut TcpStream, length: usize) -> Vec<u8> {
        let mut heard = vec![0; length];
        peer.read_exact(&mut heard).await.unwrap();
        heard
    }

    #[tokio::test]
    async fn what_is_small_waits_for_the_outbox() {
        let outbox = Rc::new(Outbox::new());
        let (mut socket, mut peer) = pair(&outbox).await;
        socket.write_all(b"not ").await.unwrap();
        say(&mut socket, b"yet").await;
        say(&mut socket, b"...").await;
        assert_eq!(peer.try_read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        outbox.due().await;
        outbox.send();
        assert_eq!(hear(&mut peer, 10).await, b"not yet...");
    }

    /// With what the system has, and as on a system that has nothing for it.
    fn outboxes() -> [Rc<Outbox>; 2] {
        let plain = Outbox::new();
        plain.ring.replace(Ring::none());
        [Rc::new(Outbox::new()), Rc::new(plain)]
    }

    #[tokio::test]
    async fn many_sockets_do_not_wait() {
        for outbox in outboxes() {
            let mut pairs = Vec::new();
            for _ in 0..MOST {
                pairs.push(pair(&outbox).await);
            }
            for (number, (socket, _)) in pairs.iter_mut().enumerate() {
                say(socket, &vec![number as u8; 1 + number]).await;
            }
            for (number, (_, peer)) in pairs.iter_mut().enumerate() {
                assert_eq!(hear(peer, 1 + number).await, vec![number as u8; 1 + number]);
            }
        }
    }

    #[tokio::test]
    async fn of_many_that_leave_together_each_has_its_own_end() {
        for outbox in outboxes() {
            let (mut late, mut late_peer) = pair(&outbox).await;
            let (mut gone, gone_peer) = pair(&outbox).await;
            let (mut quick, mut quick_peer) = pair(&outbox).await;
            drop(gone_peer);
            // More than a peer's system takes that reads nothing.
            let words = vec![b'x'; SMALL];
            let mut said = 0;
            while !matches!(late.post.state.get(), State::Stuck) {
                say(&mut late, &words).await;
                said += SMALL;
                say(&mut quick, b"now").await;
                outbox.send();
                assert_eq!(hear(&mut quick_peer, 3).await, b"now");
            }
            // The first is answered by a reset; the second meets it.
            for _ in 0..2 {
                say(&mut gone, b"nobody").await;
                say(&mut quick, b"now").await;
                outbox.send();
                assert_eq!(hear(&mut quick_peer, 3).await, b"now");
            }
            gone.flush().await.unwrap_err();
            let (flushed, heard) = tokio::join!(late.flush(), hear(&mut late_peer, said));
            flushed.unwrap();
            assert!(heard.iter().all(|byte| *byte == b'x'));
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_a_slow_neighbour() {
        let outbox = Rc::new(Outbox::new());
        let (mut quick, mut one) = pair(&outbox).await;
        let (mut slow, mut other) = pair(&outbox).await;
        say(&mut quick, b"first").await;
        std::thread::sleep(2 * PATIENCE);
        say(&mut slow, b"second").await;
        assert_eq!(hear(&mut one, 5).await, b"first");
        assert_eq!(hear(&mut other, 6).await, b"second");
    }

    #[tokio::test]
    async fn what_is_large_goes_at_once_and_overtakes_nothing() {
        let outbox = Rc::new(Outbox::new());
        let (mut socket, mut peer) = pair(&outbox).await;
        let large = vec![b'x'; 2 * SMALL];
        say(&mut socket, b"head").await;
        say(&mut socket, &large).await;
        assert_eq!(hear(&mut peer, 4).await, b"head");
        assert_eq!(hear(&mut peer, large.len()).await, large);
        outbox.send();
        say(&mut socket, b"tail").await;
        socket.shutdown().await.unwrap();
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"tail");
    }

    #[tokio::test]
    async fn a_peer_that_reads_late_gets_everything() {
        let outbox = Rc::new(Outbox::new());
        let (mut socket, mut peer) = pair(&outbox).await;
        let mut said = 0;
        // Until neither the system nor the socket takes any more.
        let full = loop {
            let words = [(said % 251) as u8; 512];
            let Ok(written) = tokio::time::timeout(Duration::from_millis(50), socket.write(&words)).await
            else {
                break said;
            };
            assert_eq!(written.unwrap(), words.len());
            said += 1;
            if let Ok(flushed) = tokio::time::timeout(Duration::from_millis(1), socket.flush()).await {
                flushed.unwrap();
            }
            outbox.send();
        };
        let reader = async {
            for part in 0..full {
                assert_eq!(hear(&mut peer, 512).await, [(part % 251) as u8; 512]);
            }
        };
        let (flushed, ()) = tokio::join!(socket.flush(), reader);
        flushed.unwrap();
    }
}
