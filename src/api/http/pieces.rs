//! Answers of any length, written piece by piece as fast as the client takes them.

use std::future::{Future, ready};

use axum::body::{Body, Bytes};
use futures_util::{StreamExt, stream};

use crate::api::http::context::RequestContext;
use crate::api::http::error::Result;
use coffer_core::request_ids::RequestIds;

/// An answer that is made piece by piece.
pub trait Pieces: Send + Sized + 'static {
    /// The name by which the log says that it broke off.
    const NAME: &'static str;

    fn is_done(&self) -> bool;

    fn next_piece(&mut self) -> impl Future<Output = Result<Vec<u8>>> + Send;
}

/// The whole body: the first piece, which is written already, and the rest. After a failure the body breaks off in a
/// way that no client can take for its end.
pub fn body(first: Vec<u8>, rest: impl Pieces, context: &RequestContext) -> Body {
    if rest.is_done() {
        return Body::from(first);
    }
    let ids = context.ids().clone();
    Body::from_stream(stream::once(ready(Ok(Bytes::from(first)))).chain(write(rest, ids)))
}

fn write<P: Pieces>(pieces: P, ids: RequestIds) -> impl stream::Stream<Item = Result<Bytes>> + Send + 'static {
    stream::try_unfold((pieces, ids), async |(mut pieces, ids)| {
        if pieces.is_done() {
            return Ok(None);
        }
        // The handler has returned: the connection asks for the rest.
        match ids.clone().scope(pieces.next_piece()).await {
            Ok(piece) => Ok(Some((Bytes::from(piece), (pieces, ids)))),
            Err(error) => {
                ids.sync_scope(|| tracing::error!(%error, "{} broke off", P::NAME));
                Err(error)
            }
        }
    })
}
