//! What can be wrong with a message.

/// Why an exchange fails. Peers are not told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum ScramError {
    /// It breaks the grammar.
    #[error("malformed SCRAM message: {0}")]
    Malformed(&'static str),
    /// The peer wants the login tied to its TLS connection.
    #[error("channel binding is not offered")]
    ChannelBinding,
    /// The last message repeats another beginning than the first one had: somebody stands between.
    #[error("the last message contradicts the first about channel binding")]
    OtherHeader,
    /// The peer demands something that is not known here.
    #[error("mandatory extensions are not known")]
    Extension,
    /// A message of another exchange.
    #[error("wrong nonce")]
    Nonce,
    /// Nobody has this name.
    #[error("unknown user")]
    UnknownUser,
    /// The peer does not know the password.
    #[error("wrong password")]
    Proof,
    /// The other side wants the password hashed too seldom to be safe, or so often that it takes too long.
    #[error("{0} iterations")]
    Iterations(u32),
    /// The other side does not know the password: it is not who it says.
    #[error("wrong signature")]
    ServerSignature,
}
