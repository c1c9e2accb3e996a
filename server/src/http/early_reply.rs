//! A reply that comes before the request was sent whole.
//!
//! A server that rejects a request may answer and close the connection before it has read the body. Its answer says more
//! than the failed write, so the write's error is kept until it is clear that no answer came.

use std::io::{self, ErrorKind};

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// Wraps the connections of another connector.
#[derive(Debug)]
pub(crate) struct EarlyReply;

impl<T: Transport> Connector<T> for EarlyReply {
    type Out = EarlyReplyTransport<T>;

    fn connect(&self, _: &ConnectionDetails, chained: Option<T>) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| EarlyReplyTransport { inner, unsent: None }))
    }
}

/// A connection that reads after a write has failed.
#[derive(Debug)]
pub(crate) struct EarlyReplyTransport<T> {
    inner: T,
    /// Why the rest of the request was not sent.
    unsent: Option<io::Error>,
}

impl<T: Transport> Transport for EarlyReplyTransport<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if self.unsent.is_some() {
            return Ok(());
        }
        match self.inner.transmit_output(amount, timeout) {
            Err(Error::Io(error)) if is_closed(&error) => {
                self.unsent = Some(error);
                Ok(())
            }
            result => result,
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        match (self.inner.await_input(timeout), self.unsent.take()) {
            (Err(_), Some(unsent)) => Err(Error::Io(unsent)),
            (result, unsent) => {
                self.unsent = unsent;
                result
            }
        }
    }

    fn is_open(&mut self) -> bool {
        self.unsent.is_none() && self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected
    )
}
