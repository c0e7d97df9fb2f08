package snapshotstore

import (
	"slices"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// keptRow is what the rules of retention look at. They are a pure function, so
// that every database prunes alike.
type keptRow struct {
	arrival   int64
	storedAs  handoff.StoredAs
	createdAt int64 // Unix milliseconds
}

// period is one stretch of BackupFrequency in one role.
type period struct {
	storedAs handoff.StoredAs
	number   int64
}

// surplus returns the arrivals of the rows to remove. It takes the unpinned rows
// of one player, highest version first, and the arrival of the newest current
// row, which may be pinned and then is not among the rows; zero when there is
// none. The rules are in the package doc.
func surplus(rows []keptRow, newest int64, keep int, frequency time.Duration) []int64 {
	var remove, conflicts []int64
	seen := make(map[period]bool)
	room := keep
	for _, row := range rows {
		if row.arrival == newest {
			room--
		}
	}
	for _, row := range rows {
		if row.storedAs == handoff.AsConflict {
			conflicts = append(conflicts, row.arrival)
			continue
		}
		// The newest current row is the first of its role, hence always the
		// first of its period as well.
		if frequency > 0 {
			in := period{row.storedAs, periodOf(row.createdAt, frequency)}
			if seen[in] {
				remove = append(remove, row.arrival)
				continue
			}
			seen[in] = true
		}
		switch {
		case row.arrival == newest:
		case room > 0:
			room--
		default:
			remove = append(remove, row.arrival)
		}
	}
	return append(remove, oldest(conflicts, keep)...)
}

// periodOf numbers the period that a moment lies in, also before the epoch.
func periodOf(millis int64, frequency time.Duration) int64 {
	length := frequency.Milliseconds()
	number := millis / length
	if millis%length < 0 {
		number--
	}
	return number
}

// oldest returns the arrivals that came before the last keep ones.
func oldest(arrivals []int64, keep int) []int64 {
	if len(arrivals) <= keep {
		return nil
	}
	slices.Sort(arrivals)
	return arrivals[:len(arrivals)-keep]
}
