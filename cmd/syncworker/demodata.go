package main

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/handoff"
)

// errDemo is returned when the demo's own check fails.
var errDemo = errors.New("the demo failed its check")

// demoHops is the key that counts a player's moves: it tells old data from new.
const demoHops = "demo:hops"

// demoPlayerID returns the UUID of the n-th player.
func demoPlayerID(n int) handoff.PlayerID {
	return handoff.PlayerID{0: 0xde, 1: 0x30, 6: 0x40, 8: 0x80, 14: byte(n >> 8), 15: byte(n)}
}

// demoData returns what a player of Minecraft carries, some 16 KiB of it.
func demoData(dice *rand.Rand) map[string][]byte {
	return map[string][]byte{
		demoHops:                []byte("0"),
		"minecraft:inventory":   demoItems(dice, 41),
		"minecraft:ender_chest": demoItems(dice, 27),
		"minecraft:health":      []byte(`{health:20.0f,maxHealth:20.0f,absorption:0.0f}`),
		"minecraft:experience":  fmt.Appendf(nil, `{level:%d,progress:%.3ff,total:%d}`, dice.IntN(60), dice.Float64(), dice.IntN(9000)),
		"minecraft:hunger":      []byte(`{foodLevel:20,saturation:5.0f,exhaustion:0.4f}`),
		"minecraft:statistics":  demoStatistics(dice),
	}
}

// demoChange is a moment of play: items are moved and statistics counted.
func demoChange(dice *rand.Rand, data map[string][]byte) {
	data["minecraft:inventory"] = demoItems(dice, 41)
	data["minecraft:statistics"] = demoStatistics(dice)
	data["minecraft:health"] = fmt.Appendf(nil, `{health:%.1ff,maxHealth:20.0f,absorption:0.0f}`, 20*dice.Float64())
}

var demoItemNames = []string{
	"diamond_sword", "netherite_pickaxe", "golden_apple", "ender_pearl", "cobblestone", "oak_log", "elytra",
	"firework_rocket", "shulker_box", "totem_of_undying", "enchanted_book", "bow", "arrow", "cooked_beef",
}

// demoItems writes slots as a game would: items with names and enchantments.
func demoItems(dice *rand.Rand, slots int) []byte {
	var text strings.Builder
	text.WriteString("[")
	for slot := range slots {
		fmt.Fprintf(&text, `{Slot:%db,id:"minecraft:%s",count:%d,components:{"minecraft:damage":%d,"minecraft:custom_name":'{"text":"No. %08x"}',"minecraft:enchantments":{levels:{"minecraft:unbreaking":%d,"minecraft:mending":1}}}},`,
			slot, demoItemNames[dice.IntN(len(demoItemNames))], 1+dice.IntN(64), dice.IntN(1500), dice.Uint32(), 1+dice.IntN(3))
	}
	text.WriteString("]")
	return []byte(text.String())
}

func demoStatistics(dice *rand.Rand) []byte {
	var text strings.Builder
	for _, name := range demoItemNames {
		fmt.Fprintf(&text, "minecraft:used/%s=%d\nminecraft:mined/%s=%d\n", name, dice.IntN(100_000), name, dice.IntN(100_000))
	}
	return []byte(text.String())
}

// demoCapture is what the game hands in: a copy, since the player plays on.
func demoCapture(player *demoPlayer, cause string) *v1.Capture {
	return &v1.Capture{SaveCause: cause, CapturedAt: timestamppb.Now(), Data: maps.Clone(player.data)}
}
