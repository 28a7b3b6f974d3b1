//! A gRPC client that puts whatever it likes on the wire: any metadata, any bytes for a message.

use std::collections::{BTreeMap, HashMap, HashSet};

use h2::client::{ResponseFuture, SendRequest};
use prost::bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Status;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue, Request};
use tonic_types::StatusExt as _;

/// Types of frames (RFC 9113 section 6).
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;

/// One HTTP/2 connection to an identity-service.
#[derive(Clone)]
pub struct Wire(SendRequest<Bytes>);

/// What a call came to.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status, or why there is none.
    pub http: Result<u16, String>,
    /// The gRPC status, which may be OK.
    pub status: Option<Status>,
}

impl Wire {
    pub async fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("something listens");
        let (sender, connection) = h2::client::handshake(stream).await.expect("speaks HTTP/2");
        tokio::spawn(connection);
        Self(sender)
    }

    /// Makes a call with these bytes for a body. `metadata` replace what the protocol wants, where they name it.
    pub async fn call(&self, path: &str, metadata: &[(&str, &[u8])], body: &[u8]) -> Reply {
        let mut sender = self.0.clone().ready().await.expect("is connected");
        let request = Self::request(path, metadata);
        let (response, mut stream) = sender.send_request(request, false).expect("is a request");
        // An answer that comes before the end of the body may close the stream.
        let _ = stream.send_data(Bytes::copy_from_slice(body), true);
        Reply::read(response).await
    }

    /// Makes a call whose message never comes.
    pub async fn stall(&self, path: &str, metadata: &[(&str, &[u8])]) -> Reply {
        let mut sender = self.0.clone().ready().await.expect("is connected");
        let (response, _stream) = sender.send_request(Self::request(path, metadata), false).expect("is sent");
        Reply::read(response).await
    }

    /// Begins this many calls at once on a connection of their own, whatever the server allows, and finishes none of
    /// them. How many were answered, and with which code how many were refused (RFC 9113 section 7).
    pub async fn flood(port: u16, calls: u32, path: &str) -> (usize, BTreeMap<u32, usize>) {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("something listens");
        let (mut reading, mut writing) = stream.into_split();
        let mut frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        for call in 0..calls {
            // POST, http, and three headers without an index (RFC 7541 section 6.2.2).
            let mut block = vec![0x83, 0x86];
            for (name, value) in [(&b"\x01"[..], "x"), (b"\x04", path), (b"\x0f\x10", "application/grpc")] {
                block.extend([name, &[value.len() as u8], value.as_bytes()].concat());
            }
            frames.extend([0, 0, block.len() as u8, HEADERS, 0x04]);
            frames.extend((2 * call + 1).to_be_bytes());
            frames.extend(block);
        }
        tokio::spawn(async move { (writing.write_all(&frames).await, std::future::pending::<()>().await) });
        let (mut answered, mut refused) = (HashSet::new(), HashMap::new());
        let mut head = [0; 9];
        while answered.len() + refused.len() < calls as usize && reading.read_exact(&mut head).await.is_ok() {
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            reading.read_exact(&mut payload).await.expect("a frame is whole");
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            match (head[3], payload.first_chunk()) {
                (HEADERS, _) => drop(answered.insert(stream)),
                (RST_STREAM, Some(code)) if !answered.contains(&stream) => {
                    refused.insert(stream, u32::from_be_bytes(*code));
                }
                _ => {}
            }
        }
        let mut codes = BTreeMap::new();
        refused.into_values().for_each(|code| *codes.entry(code).or_default() += 1);
        (answered.len(), codes)
    }

    /// A request of gRPC.
    fn request(path: &str, metadata: &[(&str, &[u8])]) -> Request<()> {
        let mut request = Request::post(format!("http://identity{path}")).body(()).expect("is a request");
        let headers = request.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        let pairs = metadata.iter().map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("is a name");
            (name, HeaderValue::from_bytes(value).expect("is a value"))
        });
        let pairs: Vec<(HeaderName, HeaderValue)> = pairs.collect();
        for (name, _) in &pairs {
            headers.remove(name);
        }
        headers.extend(pairs.into_iter().fold(HeaderMap::new(), |mut given, (name, value)| {
            given.append(name, value);
            given
        }));
        request
    }
}

impl Reply {
    /// Reads an answer to its end.
    pub async fn read(response: ResponseFuture) -> Self {
        let response = match response.await {
            Ok(response) => response,
            Err(error) => return Self { http: Err(error.to_string()), status: None },
        };
        let http = Ok(response.status().as_u16());
        let status = |headers: &HeaderMap| Status::from_header_map(headers);
        if let Some(status) = status(response.headers()) {
            return Self { http, status: Some(status) };
        }
        let mut body = response.into_body();
        while let Some(Ok(data)) = body.data().await {
            let _ = body.flow_control().release_capacity(data.len());
        }
        let trailers = body.trailers().await.ok().flatten();
        Self { http, status: trailers.as_ref().and_then(status) }
    }

    /// Code and reason, or the HTTP status alone where there is no code.
    pub fn outcome(&self) -> String {
        let Some(status) = &self.status else { return format!("{:?}", self.http) };
        let reason = status.get_details_error_info().map(|info| format!(" {}", info.reason));
        format!("{:?}{}", status.code(), reason.unwrap_or_default())
    }

    /// What its caller is told in words.
    pub fn message(&self) -> &str {
        self.status.as_ref().map_or("", Status::message)
    }
}

/// A message in the framing of gRPC: a flag, a length in four bytes, the message.
pub fn framed(message: &impl prost::Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    frame(0, message.len(), &message)
}

/// The same with a flag and a length that need not be true.
pub fn frame(flag: u8, length: usize, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).expect("is sent in four bytes");
    [&[flag][..], &length.to_be_bytes(), message].concat()
}
