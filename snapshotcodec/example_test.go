package snapshotcodec_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/snapshotcodec"
)

func exampleSnapshot() *snapshotcodec.Snapshot {
	return &snapshotcodec.Snapshot{
		ID:         handoff.SnapshotID{15: 1},
		Player:     handoff.PlayerID{15: 2},
		PlayerName: "Steve",
		Server:     "survival-1",
		Version:    handoff.Version{Fence: 1735787045000000, Sequence: 3},
		SaveCause:  "DISCONNECT",
		CapturedAt: time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC),
		CreatedAt:  time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC),
		Data:       map[string][]byte{"game:health": []byte("20.0"), "game:level": []byte("7")},
	}
}

func Example() {
	codec, err := snapshotcodec.New(snapshotcodec.Config{Compression: snapshotcodec.Zstd})
	if err != nil {
		fmt.Println(err)
		return
	}
	packed, err := codec.Pack(exampleSnapshot())
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := codec.Unpack(packed)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s of %s, captured by %s: health %s\n", s.Version, s.PlayerName, s.Server, s.Data["game:health"])
	// Output: 1735787045000000/3 of Steve, captured by survival-1: health 20.0
}

func ExampleCodec_Pack() {
	codec, err := snapshotcodec.New(snapshotcodec.Config{MaxSize: 4096})
	if err != nil {
		fmt.Println(err)
		return
	}
	s := exampleSnapshot()
	s.Data["game:map"] = make([]byte, 5000)
	_, err = codec.Pack(s)
	fmt.Println(errors.Is(err, handoff.ErrTooLarge), err)
	s = exampleSnapshot()
	s.SaveCause = "because the player asked for it nicely"
	_, err = codec.Pack(s)
	fmt.Println(errors.Is(err, snapshotcodec.ErrInvalid), err)
	// Output:
	// true 5051 bytes of data, 5000 of them in "game:map", the limit is 4096: snapshot is larger than snapshots.max_size
	// true snapshotcodec: unacceptable snapshot: save cause has 38 bytes, the limit is 32
}

func ExampleCodec_Append() {
	codec, err := snapshotcodec.New(snapshotcodec.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	buffer := make([]byte, 0, 1024)
	for range 3 {
		buffer, err = codec.Append(buffer[:0], exampleSnapshot())
	}
	fmt.Println(len(buffer), err)
	// Output: 168 <nil>
}

func ExampleCodec_Unpack() {
	codec, err := snapshotcodec.New(snapshotcodec.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	packed, err := codec.Pack(exampleSnapshot())
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = codec.Unpack(packed[:100])
	fmt.Println(errors.Is(err, handoff.ErrDamaged), errors.Is(err, snapshotcodec.ErrTruncated))
	fmt.Println(err)
	// Output:
	// true true
	// snapshotcodec: truncated: stored snapshot is damaged: 100 of 168 bytes
}

func ExampleVersionOf() {
	codec, err := snapshotcodec.New(snapshotcodec.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	packed, err := codec.Pack(exampleSnapshot())
	if err != nil {
		fmt.Println(err)
		return
	}
	// 24 bytes are enough: what GETRANGE key 0 23 returns.
	fmt.Println(snapshotcodec.VersionOf(packed[:24]))
	// Output: 1735787045000000/3 <nil>
}

func ExampleMeta() {
	codec, err := snapshotcodec.New(snapshotcodec.Config{Compression: snapshotcodec.Zstd})
	if err != nil {
		fmt.Println(err)
		return
	}
	packed, err := codec.Pack(exampleSnapshot())
	if err != nil {
		fmt.Println(err)
		return
	}
	info, err := snapshotcodec.Meta(packed)
	fmt.Println(info.Snapshot.SaveCause, info.DataSize, info.PackedSize, info.Compression, err)
	// Output: DISCONNECT 38 168 none <nil>
}

func ExampleParseCompression() {
	fmt.Println(snapshotcodec.ParseCompression("zstd"))
	fmt.Println(snapshotcodec.ParseCompression("lz4"))
	// Output:
	// zstd <nil>
	// none snapshotcodec: unknown compression "lz4" (want none, zstd or snappy)
}
