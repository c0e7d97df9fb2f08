package mutants

// chaosTable are mutants of the whole program, scripts included. What takes two
// faults at once to show is not among them, since Chaos makes one at a time: R5,
// R6 and R7 are Explore's, and so is a delete that compares nothing, which the
// session that is still there puts right before anybody can tell.
var chaosTable = []Mutant{
	{
		// A claim is granted although another server has the player.
		Name: "real-claim-ignores-holder", Breaks: "L4", Tool: Chaos,
		Edits: []Edit{{lua + "claim.lua", "if holder and holder ~= server then", "if false then"}},
	},
	{
		// A waiting worker takes over although the holder's lease lives.
		Name: "real-take-over-ignores-lease", Breaks: "L4", Tool: Chaos,
		Edits: []Edit{{takeover, "\t\tst.holderLives(e)", "\t\tst.takeOver()"}},
	},
	{
		// A final save frees the player and is not stored in Redis.
		Name: "real-check-in-frees-first", Breaks: "L5", Tool: Chaos,
		Edits: []Edit{{lua + "check_in.lua", "local answer = store(bytes)", "local answer = {'done'}"}},
	},
	{
		// Keys that a capture does not mention are dropped.
		Name: "real-nothing-carried-forward", Breaks: "L6", Tool: Chaos,
		Edits: []Edit{{save, "capture.Over(base)", "capture.Over(nil)"}},
	},
	{
		// Saves and resumes do not compare the fence.
		Name: "real-fence-not-compared", Breaks: "L1", Tool: Chaos,
		Edits: []Edit{
			{lua + "write.lua", "local function standing(server, ours, sequence)\n", "local function standing(server, ours, sequence)\n  do return nil end\n"},
			{lua + "resume.lua", "if highest > ours then", "if false then"},
			{lua + "resume.lua", "if strict and (fence ~= ours or not holder) then", "if false then"},
		},
		Faults: []string{"freeze", "cut", "kill"},
	},
	{
		// Nobody waits after Redis lost its memory.
		Name: "real-no-settle", Breaks: "R1", Tool: Chaos,
		Edits:  []Edit{{"lifecycle/settle.go", "return s.until, !now.Before(s.until)", "return s.until, true"}},
		Faults: []string{"redis-old", "redis-empty"},
	},
	{
		// What Redis has is not compared with the database.
		Name: "real-update-always-wins", Breaks: "R4", Tool: Chaos,
		Edits:  []Edit{{load, "if update == nil || (row != nil && row.Version.Compare(update.Version) > 0) {", "if update == nil {"}},
		Faults: []string{"redis-old"},
	},
	{
		// A database that cannot be read counts as one without the player.
		Name: "real-error-is-absent", Breaks: "L3", Tool: Chaos,
		Edits: []Edit{
			{load, "return errors.Is(err, handoff.ErrNoSnapshot)", "return err != nil"},
		},
		Faults: []string{"redis-empty", "db-away"},
	},
}
