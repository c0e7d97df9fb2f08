package mutants

const (
	modelRedis  = "internal/explore/redis.go"
	modelApply  = "internal/explore/apply.go"
	modelWorker = "internal/explore/worker.go"
	modelStores = "internal/explore/stores.go"
	join        = "lockstep/join.go"
	load        = "lockstep/load.go"
	save        = "lockstep/save.go"
	spool       = "lockstep/spool.go"
	store       = "lockstep/store.go"
	takeover    = "lockstep/takeover.go"
	write       = "lockstep/write.go"
	verify      = "lockstep/verify.go"
	adopt       = "lockstep/adopt.go"
	lua         = "internal/redisstore/lua/"
)

// table holds every mutant. What Explore cannot see, since it has a model in its
// place, is changed in the model, and once more in the real thing for Chaos.
var table = []Mutant{
	{
		Name: "no-fence-compare", Breaks: "L1", Tool: Explore, Family: "freeze",
		Edits: []Edit{{
			modelRedis, "	switch {\n	case checkIn && givenBack:",
			"	switch {\n	case true:\n	case checkIn && givenBack:",
		}},
	},
	{
		Name: "release-before-save", Breaks: "L5", Tool: Explore, Family: "handover",
		Edits: []Edit{{
			save, "	st.tried(sequence)\n	st.startWrite(&write{kind: writeCheckIn,",
			"	st.tried(sequence)\n	st.do(handoff.Release{Fence: st.s.session.fence})\n	st.startWrite(&write{kind: writeCheckIn,",
		}},
	},
	{
		Name: "claim-get-then-set", Breaks: "L4", Tool: Explore, Family: "login",
		Edits: []Edit{{
			modelApply, "		answer = w.askRedis(i, l, action)\n",
			"		if _, ok := action.(handoff.Claim); ok && l.part == 0 {\n" +
				"			l.part, l.saved = 1, w.redis.checkout\n			return\n		} else if ok && l.saved == \"\" {\n" +
				"			w.redis.checkout = \"\"\n		}\n		answer = w.askRedis(i, l, action)\n",
		}},
	},
	{
		Name: "error-as-absent", Breaks: "L3", Tool: Explore, Family: "database",
		Edits: []Edit{{
			load, "return errors.Is(err, handoff.ErrNoSnapshot)", "return err != nil && !errors.Is(err, handoff.ErrDamaged)",
		}},
	},
	{
		Name: "timeout-applies-old-data", Breaks: "L2, L4", Tool: Explore, Family: "impatient",
		Edits: []Edit{{
			join, "	refusal := &handoff.Refusal{Reason: handoff.ReasonRedis, RetryAfter: lastRetry}\n	if w := st.s.wait; w != nil {",
			"	if w := st.s.wait; w != nil && w.known != nil {\n		st.s.session = &session{fence: w.holder.Fence, since: st.at}\n" +
				"		st.deliver(handoff.SourceDatabase, w.known)\n		return\n	}\n" +
				"	refusal := &handoff.Refusal{Reason: handoff.ReasonRedis, RetryAfter: lastRetry}\n	if w := st.s.wait; w != nil {",
		}},
	},
	{
		Name: "unconditional-delete", Breaks: "L4, L5", Tool: Explore, Family: "handover",
		Edits: []Edit{{
			modelRedis, "	switch {\n	case r.fence > a.Fence:\n		return handoff.Written{Op: a.Op, Outcome: handoff.WriteFenced",
			"	switch {\n	case true:\n	case r.fence > a.Fence:\n		return handoff.Written{Op: a.Op, Outcome: handoff.WriteFenced",
		}},
	},
	{
		Name: "r1-no-gate", Breaks: "R1", Tool: Explore, Family: "emptied",
		Edits: []Edit{{modelWorker, "	if w.now < s.settled {", "	if false {"}},
	},
	{
		Name: "r1-no-verification", Breaks: "R1", Tool: Explore, Family: "emptied",
		Edits: []Edit{{modelWorker, "	w.post(i, handoff.Verify{Suspect: suspect, Lost: lost})\n", "	_ = lost\n"}},
	},
	{
		Name: "r1-grant-kept", Breaks: "R1", Tool: Explore, Family: "login",
		Edits: []Edit{
			{load, "	case len(st.s.deferred) > 0:\n		st.startOver()\n", ""},
			{verify, "	case PhaseLoading:\n		st.startOver()\n", ""},
		},
	},
	{
		Name: "r2-no-lease-check", Breaks: "R2", Tool: Explore, Family: "new",
		Edits: []Edit{{
			join, "	st.do(handoff.CheckLease{Attempt: st.s.wait.attempt})\n}\n\nfunc (st *step) onLeaseChecked",
			"	st.onLeaseChecked(handoff.LeaseChecked{Attempt: st.s.wait.attempt, Present: true})\n}\n\nfunc (st *step) onLeaseChecked",
		}},
	},
	{
		Name: "r2-no-wait-for-a-known-player", Breaks: "R2", Tool: Explore, Family: "slow-to-verify",
		Edits: []Edit{{join, "	case w.read.err == nil && st.at.Before(", "	case false && st.at.Before("}},
	},
	{
		Name: "r2-no-second-look", Breaks: "R2", Tool: Explore, Family: "new",
		Edits: []Edit{{
			join, "w.again, w.enlisted, w.leaseSeen, w.allowing = attempt, false, true, false, true",
			"w.again, w.enlisted, w.leaseSeen, w.allowing = attempt, false, true, false, false",
		}},
	},
	{
		Name: "r2-take-over-without-own-lease", Breaks: "R2, L4", Tool: Explore, Family: "freeze",
		Edits: []Edit{{
			takeover, "	st.do(handoff.CheckLease{Attempt: attempt})\n",
			"	st.onLeaseChecked(handoff.LeaseChecked{Attempt: attempt, Present: true})\n",
		}},
	},
	{
		Name: "r3-no-gate-after-an-outage", Breaks: "R3, L4", Tool: Explore, Family: "away",
		Edits: []Edit{{modelWorker, "	if w.now < s.settled {", "	if false {"}},
	},
	{
		Name: "r3-silence-unnoticed", Breaks: "R3, L4", Tool: Explore, Family: "away",
		Edits: []Edit{{modelWorker, "	if s.wasSilent(w.now) || s.interrupted {", "	if s.interrupted {"}},
	},
	{
		Name: "r3-settle-while-silent", Breaks: "R3, L4", Tool: Explore, Family: "away",
		Edits: []Edit{{modelWorker, "	if s.wasSilent(w.now) || s.interrupted {", "	if s.wasSilent(w.now) {"}},
	},
	{
		Name: "take-over-from-the-living", Breaks: "L4", Tool: Explore, Family: "handover",
		Edits: []Edit{{takeover, "	case !e.Present:\n		st.takeOver()", "	case true:\n		st.takeOver()"}},
	},
	{
		Name: "r4-no-comparison", Breaks: "R4, L2", Tool: Explore, Family: "rolled-back",
		Edits: []Edit{{
			load, "	if update == nil || (row != nil && row.Version.Compare(update.Version) > 0) {\n		source",
			"	if update == nil {\n		source",
		}},
	},
	{
		Name: "r4-no-second-read", Breaks: "R4, L2", Tool: Explore, Family: "emptied",
		Edits: []Edit{{
			load, "	case w.read.since < w.granted && (w.update == nil || w.read.stale):",
			"	case false:",
		}},
	},
	{
		Name: "r5-one-copy", Breaks: "R5, L6", Tool: Explore, Family: "handover",
		Edits: []Edit{{
			store, "	kept := st.s.unstored\n",
			"	kept := st.s.unstored\n	if as == handoff.AsCurrent {\n		st.replyAll(requests, receipt)\n		requests = nil\n	}\n",
		}},
	},
	{
		Name: "r6-no-second-fence", Breaks: "R6", Tool: Explore, Family: "ghost-past",
		Edits: []Edit{{
			modelStores, "newest.Version.Fence > snapshot.Version.Fence {", "newest.Version.Fence < 0 {",
		}},
	},
	{
		Name: "r6-conflict-ignored", Breaks: "R6, L6", Tool: Explore, Family: "freeze",
		Edits: []Edit{{store, "	if e.Conflict && o.as == handoff.AsCurrent {", "	if false {"}},
	},
	{
		Name: "r7-no-suspects", Breaks: "R7, L6", Tool: Explore, Family: "ghost",
		Edits: []Edit{
			{modelRedis, "	strict := a.Strict || w.suspects(i)", "	strict := false"},
		},
	},
	{
		Name: "provisional-before-disk", Breaks: "L6", Tool: Explore, Family: "handover",
		Edits: []Edit{{
			spool, "		w.spooling, w.problem = true, problem\n	})\n",
			"		w.spooling, w.problem = true, problem\n	})\n" +
				"	st.replyAll(w.requests, receiptFor(w.snapshot, handoff.StateProvisional))\n" +
				"	st.s.write = copied(st.s.write, func(w *write) { w.requests = nil })\n",
		}},
	},
	{
		Name: "hints-lost-after-subscribing", Breaks: "L9, L7", Tool: Explore, Family: "handover",
		Edits: []Edit{{
			join, "	switch st.s.phase {\n	case PhaseWaiting:\n		st.claim()\n		st.hold(",
			"	if e.Cause != handoff.LookChanged {\n		return\n	}\n	switch st.s.phase {\n	case PhaseWaiting:\n		st.claim()\n		st.hold(",
		}},
	},
	{
		Name: "resume-and-free-at-once", Breaks: "L4", Tool: Explore, Family: "emptied-crowd",
		Edits: []Edit{{write, "	if w.kind == writeCheckIn && w.unsure && w.notBefore.IsZero() {", "	if false {"}},
	},
	{
		Name: "steal-unasked", Breaks: "L4", Tool: Explore, Family: "impatient",
		Edits: []Edit{{takeover, "	return st.config.Steal && w != nil", "	return w != nil"}},
	},
	{
		Name: "lost-claim-not-swept", Breaks: "L8", Tool: Explore, Family: "login",
		Edits: []Edit{{join, "	if w.unsure {\n", "	if w.unsure && w.failures < 0 {\n"}},
	},
	{
		Name: "adopt-not-strict", Breaks: "R7, L6", Tool: Explore, Family: "ghost-down",
		Edits: []Edit{
			{write, "Fence: st.s.session.fence, Strict: true, Load: true}", "Fence: st.s.session.fence, Load: true}"},
			{adopt, "confirmed: true, suspect: true}", "confirmed: true}"},
		},
	},
}
