// Package snapshotcodec turns a player's snapshot into bytes and back: the one
// envelope that Redis, the database and the local spool all hold.
//
// [Codec.Pack] writes an envelope, [Codec.Unpack] reads one, [Meta] reads all
// but the data, and [VersionOf] reads nothing but the version.
//
// # The envelope, format version 1
//
// Every number is big-endian and unsigned. Everything below is FROZEN: bytes
// once written must be readable for ever, so a change of any offset, width,
// order or constant is a new format version with a new reader beside the old
// one. The rows marked * are the same in every format version there will ever
// be, because scripts inside Redis and older workers rely on them.
//
//	offset  bytes
//	   0      4   * magic: 53 57 53 A7 ("SWS" and a byte that no text in
//	                ASCII or UTF-8 has at this place)
//	   4      2   * format version: 1
//	   6      1     compression of the payload: 0 none, 1 zstd, 2 snappy
//	   7      1     flags: bit 0 = pinned, the other bits are zero
//	   8      8   * fence, 1 to 2^53-1          (VersionOffset)
//	  16      8   * sequence, 1 to 2^53-1
//	  24      4     m: length of the metadata
//	  28      4     n: length of the payload before compression
//	  32      4     p: length of the payload as stored here
//	  36      m     metadata
//	36+m      p     payload
//	36+m+p    8     checksum: xxHash64, seed 0, of all bytes before it
//
// Metadata:
//
//	 0     16     snapshot ID
//	16     16     player ID
//	32     12     captured at: 8 bytes of seconds since 1970 (signed),
//	              4 bytes of nanoseconds below 10^9
//	44     12     created at, likewise
//	56            five texts, each one length byte and that many bytes of
//	              UTF-8 without NUL: server ID, player name, save cause,
//	              platform, game version
//
// Payload, before compression:
//
//	   0      2     k: number of data keys
//	   2      5k    per key: 1 byte length of the key (1 to 128),
//	                4 bytes length of its value
//	2+5k            the keys, one after the other, in ascending byte order
//	...             the values, one after the other, in the same order
//
// A zstd payload is exactly one frame (RFC 8878) that states its content size
// and uses no dictionary. A snappy payload is one raw block, not the framed
// stream. A payload that compression would not shrink is stored with
// compression 0, whatever the codec was told.
//
// The form is canonical: there are no padding, no optional fields and no
// second way to write the same thing, so one snapshot has one uncompressed
// form, and whatever Unpack accepts Pack accepts again.
//
// # Absent and empty
//
// Nil and empty are one: a nil data map packs like an empty one and a nil value
// like an empty one. Unpack always returns a map that is not nil, and values
// that are not nil. The zero time.Time survives; other times come back in UTC,
// without a monotonic reading. Keys that nobody here knows survive byte for
// byte: the codec never looks inside a value.
//
// # Why numbers below 2^53
//
// The scripts that compare versions inside Redis hold numbers as doubles, and
// cannot compare the bytes as text instead, for that follows the locale of the
// Redis server. Above 2^53 two versions could look equal.
//
// # Why xxHash64
//
// The candidates were CRC-32C and xxHash64. Both run faster than any of the
// compressors, so speed does not decide. What can happen to an envelope is a
// torn write, a truncated column, a text conversion on the way through a
// database or a byte mixed up by a human: damage of many bits, for which the
// burst guarantees of a CRC count nothing and only the width does. CRC-32C
// misses one such accident in 2^32, xxHash64 one in 2^64. The sum covers the
// bytes as stored, so no decompressor ever sees bytes that are not the ones
// written. It is no protection against an attacker: whoever may write to
// Redis can write a valid envelope.
//
// # Bounded decoding
//
// Lengths inside the bytes are claims. Each is compared with what is there
// before anything is allocated: no reading costs more memory than the
// uncompressed payload, at most Config.MaxSize, plus a constant (below 1 MiB)
// for work space. A payload that unpacks to more than it claims is cut off
// there.
//
// # Errors
//
// Errors about bytes wrap [handoff.ErrDamaged] and exactly one of ErrMagic,
// ErrFormat, ErrTruncated, ErrChecksum, ErrSize and ErrStructure. One does not:
// a sound envelope whose data exceeds Config.MaxSize is not damaged, the limit
// was lowered after it was written; Unpack then returns [handoff.ErrTooLarge]. Either
// way the data exists and was not read: it is never "no data" (law L3).
//
// # What is not promised
//
// The codec does not know under which player's key the bytes were filed; the
// reader compares [handoff.Snapshot.Player] itself. The pinned flag says what
// held at the capture; a snapshot pinned later carries that in its database
// row, not here. Compressed bytes may differ between releases and processor
// types; only what they unpack to is fixed.
package snapshotcodec
