package snapshotcodec_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
)

// The data of a player of some hours, shaped like what a Minecraft server
// writes: some 16 KiB, the same at every call.
//
// binaryData holds inventories as binary NBT, textData as SNBT text. What a
// server keeps as JSON is JSON in both.
func binaryData() map[string][]byte { return minecraftData(nbtItems) }
func textData() map[string][]byte   { return minecraftData(snbtItems) }

func minecraftData(items func(*rand.Rand, int) []byte) map[string][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	return map[string][]byte{
		"husksync:inventory":       items(random, 38),
		"husksync:ender_chest":     items(random, 24),
		"husksync:advancements":    advancements(random, 40),
		"husksync:statistics":      statistics(random, 110),
		"husksync:persistent_data": []byte(`{"economy:balance":15023.75,"claims:home":[128,64,-913],"vanish":false}`),
		"husksync:potion_effects":  []byte(`[{"type":"minecraft:night_vision","amplifier":0,"duration":3211,"ambient":false}]`),
		"husksync:attributes":      []byte(`[{"name":"minecraft:generic.max_health","base":20.0},{"name":"minecraft:generic.armor","base":0.0}]`),
		"husksync:location":        []byte(`{"world":"survival","x":128.51,"y":64.0,"z":-913.22,"yaw":91.35,"pitch":12.6}`),
		"husksync:health":          binary.BigEndian.AppendUint64(nil, math.Float64bits(18.5)),
		"husksync:hunger":          []byte(`{"food_level":17,"saturation":2.4,"exhaustion":1.31}`),
		"husksync:experience":      []byte(`{"total_experience":3712,"exp_level":31,"exp_progress":0.4137931}`),
		"husksync:game_mode":       []byte("SURVIVAL"),
		"husksync:flight_status":   {0, 0},
	}
}

var (
	materials = strings.Fields(`diamond_sword netherite_pickaxe netherite_chestplate elytra golden_apple cooked_beef
		oak_log cobblestone torch ender_pearl arrow bow shield water_bucket iron_ingot redstone shulker_box
		experience_bottle spruce_planks deepslate raw_copper lapis_lazuli bread obsidian firework_rocket totem_of_undying`)
	enchantments = strings.Fields("sharpness unbreaking mending efficiency fortune protection feather_falling looting silk_touch")
	statNames    = strings.Fields("mined used broken crafted picked_up dropped killed killed_by")
)

func pick(random *rand.Rand, from []string) string { return from[random.IntN(len(from))] }

// nbtItems writes a list of item stacks as binary NBT.
func nbtItems(random *rand.Rand, count int) []byte {
	nbt := []byte{10, 0, 0, 9, 0, 5}
	nbt = append(nbt, "items"...)
	nbt = binary.BigEndian.AppendUint32(append(nbt, 10), uint32(count))
	name := func(tag byte, name string) {
		nbt = binary.BigEndian.AppendUint16(append(nbt, tag), uint16(len(name)))
		nbt = append(nbt, name...)
	}
	text := func(text string) {
		nbt = binary.BigEndian.AppendUint16(nbt, uint16(len(text)))
		nbt = append(nbt, text...)
	}
	for slot := range count {
		name(1, "Slot")
		nbt = append(nbt, byte(slot))
		name(8, "id")
		text("minecraft:" + pick(random, materials))
		name(3, "count")
		nbt = binary.BigEndian.AppendUint32(nbt, 1+random.Uint32N(64))
		if random.IntN(3) == 0 {
			name(10, "components")
			name(3, "minecraft:damage")
			nbt = binary.BigEndian.AppendUint32(nbt, random.Uint32N(1500))
			name(10, "minecraft:enchantments")
			for range 1 + random.IntN(3) {
				name(3, "minecraft:"+pick(random, enchantments))
				nbt = binary.BigEndian.AppendUint32(nbt, 1+random.Uint32N(5))
			}
			nbt = append(nbt, 0)
			name(11, "owner")
			nbt = binary.BigEndian.AppendUint32(nbt, 4)
			nbt = binary.BigEndian.AppendUint64(nbt, random.Uint64())
			nbt = binary.BigEndian.AppendUint64(nbt, random.Uint64())
			nbt = append(nbt, 0)
		}
		nbt = append(nbt, 0)
	}
	return append(nbt, 0)
}

// snbtItems writes a list of item stacks as text.
func snbtItems(random *rand.Rand, count int) []byte {
	text := []byte("{items:[")
	for slot := range count {
		text = fmt.Appendf(text, `{Slot:%db,id:"minecraft:%s",count:%d`, slot, pick(random, materials), 1+random.IntN(64))
		if random.IntN(3) == 0 {
			text = fmt.Appendf(text, `,components:{"minecraft:damage":%d,"minecraft:enchantments":{`, random.IntN(1500))
			for range 1 + random.IntN(3) {
				text = fmt.Appendf(text, `"minecraft:%s":%d,`, pick(random, enchantments), 1+random.IntN(5))
			}
			text = fmt.Appendf(text, `},owner:[I;%d,%d,%d,%d]}`, random.Int32(), random.Int32(), random.Int32(), random.Int32())
		}
		text = append(text, "},"...)
	}
	return append(text, "]}"...)
}

func advancements(random *rand.Rand, count int) []byte {
	text := []byte("[")
	for i := range count {
		if i > 0 {
			text = append(text, ',')
		}
		text = fmt.Appendf(text, `{"key":"minecraft:recipes/misc/%s_%d","criteria":{"has_%s":"2024-%02d-%02d %02d:%02d:%02d +0000"}}`,
			pick(random, materials), i, pick(random, materials), 1+random.IntN(12), 1+random.IntN(28),
			random.IntN(24), random.IntN(60), random.IntN(60))
	}
	return append(text, ']')
}

func statistics(random *rand.Rand, count int) []byte {
	text := []byte("{")
	for i := range count {
		if i > 0 {
			text = append(text, ',')
		}
		text = fmt.Appendf(text, `"minecraft:%s/minecraft:%s_%d":%d`, pick(random, statNames), pick(random, materials), i, random.IntN(40000))
	}
	return append(text, '}')
}
