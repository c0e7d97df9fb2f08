package localapi

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/handoff"
)

var sources = map[handoff.Source]v1.Source{
	handoff.SourceNew:      v1.Source_SOURCE_NEW,
	handoff.SourceUpdate:   v1.Source_SOURCE_UPDATE,
	handoff.SourceDatabase: v1.Source_SOURCE_DATABASE,
}

var states = map[handoff.SaveState]v1.SaveState{
	handoff.StateCurrent:     v1.SaveState_SAVE_STATE_CURRENT,
	handoff.StateHistory:     v1.SaveState_SAVE_STATE_HISTORY,
	handoff.StateProvisional: v1.SaveState_SAVE_STATE_PROVISIONAL,
}

func wireGrant(grant *handoff.Grant) *v1.JoinResponse {
	response := &v1.JoinResponse{
		SessionId:    grant.Session.String(),
		Source:       sources[grant.Source],
		Waited:       durationpb.New(grant.Waited),
		HandedOverBy: string(grant.HandedOverBy),
	}
	if grant.Snapshot != nil {
		response.Snapshot = wireSnapshot(grant.Snapshot)
	}
	return response
}

// wireSnapshot shares the data map, which nobody changes.
func wireSnapshot(s *handoff.Snapshot) *v1.Snapshot {
	return &v1.Snapshot{
		Id:          s.ID.String(),
		PlayerId:    s.Player.String(),
		ServerId:    string(s.Server),
		Version:     wireVersion(s.Version),
		SaveCause:   s.SaveCause,
		CapturedAt:  wireTime(s.CapturedAt),
		CreatedAt:   wireTime(s.CreatedAt),
		Platform:    s.Platform,
		GameVersion: s.GameVersion,
		Pinned:      s.Pinned,
		Data:        s.Data,
	}
}

func wireVersion(v handoff.Version) *v1.Version {
	if v.IsZero() {
		return nil
	}
	return &v1.Version{Fence: int64(v.Fence), Sequence: v.Sequence}
}

func wireTime(at time.Time) *timestamppb.Timestamp {
	if at.IsZero() {
		return nil
	}
	return timestamppb.New(at)
}

// wireSpan leaves out a duration that means "does not end".
func wireSpan(span time.Duration) *durationpb.Duration {
	if span <= 0 {
		return nil
	}
	return durationpb.New(span)
}

func wireSnapshotID(id handoff.SnapshotID) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}

func wireSessions(sessions []handoff.SessionID) []string {
	texts := make([]string, 0, len(sessions))
	for _, session := range sessions {
		texts = append(texts, session.String())
	}
	return texts
}

func wireSummary(s handoff.Summary) *v1.Session {
	return &v1.Session{
		PlayerId:   s.Player.String(),
		PlayerName: s.Name,
		Phase:      s.Phase,
		SessionId:  s.Session.String(),
		Live:       s.Live,
		Confirmed:  s.Confirmed,
		Busy:       s.Busy,
		Unstored:   uint32(max(s.Unstored, 0)),
		Since:      wireTime(s.Since),
		Version:    wireVersion(s.Version),
		WaitsFor:   string(s.Holder),
	}
}

func wireEvent(event GameEvent) *v1.AttachResponse {
	switch event := event.(type) {
	case SessionLost:
		return &v1.AttachResponse{Event: &v1.AttachResponse_SessionLost{SessionLost: &v1.SessionLost{
			SessionId: event.Session.String(),
			PlayerId:  event.Session.Player.String(),
			Reason:    wireReason(event.Reason),
			NewHolder: string(event.NewHolder),
		}}}
	case CheckInRequested:
		return &v1.AttachResponse{Event: &v1.AttachResponse_CheckinRequested{CheckinRequested: &v1.CheckInRequested{
			SessionId: event.Session.String(),
			PlayerId:  event.Session.Player.String(),
			ByServer:  string(event.By),
		}}}
	case Draining:
		return &v1.AttachResponse{Event: &v1.AttachResponse_Draining{Draining: &v1.Draining{
			Deadline: wireTime(event.Deadline),
		}}}
	default:
		return &v1.AttachResponse{} // a game ignores it
	}
}

func wireSpool(spool Spool) *v1.SpoolHealth {
	return &v1.SpoolHealth{
		Entries: wireCount(spool.Entries), Bytes: wireCount(spool.Bytes), MaxBytes: wireCount(spool.MaxBytes),
		Recovering: wireCount(spool.Recovering),
	}
}

// wireCount takes what cannot be counted for nothing.
func wireCount[T int | int64](count T) uint64 { return uint64(max(count, 0)) }

func wireRelease(release Release) *v1.Release {
	return &v1.Release{
		PlayerId: release.Player.String(), Holder: string(release.Holder), Fence: int64(release.Fence),
		Reason: release.Reason, Forced: release.Forced, By: release.By, At: wireTime(release.At),
	}
}
