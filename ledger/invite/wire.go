package invite

import (
	"daulat/core/canon"
	"daulat/core/invite"
	pb "daulat/gen/invite"
	"daulat/ledger/record"
)

func wireLimits(l invite.Limits) pb.Params {
	return pb.Params{MaxOpen: l.MaxOpen, MaxGrant: l.MaxGrant, MaxLife: l.MaxLife}
}

func parseLimits(w pb.Params) invite.Limits {
	return invite.Limits{MaxOpen: w.MaxOpen, MaxGrant: w.MaxGrant, MaxLife: w.MaxLife}
}

func wireInvite(i invite.Invite) pb.Invite {
	return pb.Invite{Key: i.Key.String(), Inviter: i.Inviter, Grant: i.Grant, Expires: i.Expires, State: string(i.State),
		Guest: i.Guest, Made: i.Made, Ended: i.Ended}
}

func parseInvite(w pb.Invite) (invite.Invite, error) {
	key, err := record.Key("invite key", w.Key)
	return invite.Invite{Version: canon.Version, Key: key, Inviter: w.Inviter, Grant: w.Grant, Expires: w.Expires,
		State: invite.State(w.State), Guest: w.Guest, Made: w.Made, Ended: w.Ended}, err
}
