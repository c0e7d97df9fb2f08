// Package spool keeps snapshots on local disk until they are where they belong:
// what Redis or the database did not take in time waits here, over crashes and
// restarts of the worker, and is replayed.
//
// # One file per entry
//
// Each entry is a file of its own, named after what it is, so that a listing of
// the folder is in the order of replay:
//
//	<player>-<fence>-<sequence>-<snapshot id>.entry
//
// Player and ID are 32 hexadecimal digits, fence and sequence 16 decimal ones.
// The file is a header and the packed snapshot (snapshotcodec) as it was handed
// in. Numbers are big-endian and unsigned:
//
//	offset  bytes
//	   0      4   magic: 53 57 51 A7
//	   4      2   format version: 1
//	   6      1   role: 1 current, 2 history, 3 conflict
//	   7      1   flags: bit 0 accepted, bit 1 final, the others are zero
//	   8     16   player ID
//	  24     16   snapshot ID
//	  40      8   fence
//	  48      8   sequence
//	  56      8   n: length of the packed snapshot
//	  64      8   checksum: xxHash64, seed 0, of bytes 0 to 63 and of the snapshot
//	  72      n   the packed snapshot
//
// Beside the entries lie the file "lock", which one worker holds at a time, files
// that are being written (their names begin with ".new-"), and the folder
// "damaged". Other files are left alone.
//
// # Guarantees
//
//   - Once Put returned nil, the entry survives a crash of the process and of the
//     operating system: it was written under another name, synced and renamed, and
//     the folder was synced. Hardware that reports a sync before it happened voids
//     this.
//   - An entry is there whole or not at all, whatever byte a crash came at. One
//     whose Put did not return may be there, whole.
//   - Put of an entry that is there already replaces it in one step.
//   - A full disk and a full spool are ErrFull, and leave what is there as it is.
//   - Bytes that are not what was written are never replayed and never deleted:
//     they are moved to the folder "damaged" and reported.
//   - One worker at a time: a second one is refused with ErrLocked.
//
// A removed entry may come back after a crash of the operating system, for
// removals are not synced. To replay it again does no harm: scripts and database
// answer a repeated write as the first time, or know that it is old.
//
// # Cost
//
// Opening reads every entry once, to check it, one at a time. After that the
// memory holds some 200 bytes for each, never the snapshots. A Put waits for two
// syncs; concurrent ones share the sync of the folder.
package spool
