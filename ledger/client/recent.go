package client

import (
	"context"
	"fmt"

	sdkquery "github.com/cosmos/cosmos-sdk/types/query"

	"daulat/core/job"
	marketpb "daulat/gen/market"
)

// RecentSessions lists the newest sessions, newest first, back to those that
// opened before since (block time in seconds), and no more than most. The node
// tells them; they are not proven.
func (c *Client) RecentSessions(ctx context.Context, since uint64, most int) ([]job.Session, error) {
	recent, err := recent(since, most, func(page *sdkquery.PageRequest) ([]job.Session, []byte, error) {
		var r marketpb.QuerySessionsResponse
		if err := c.query(ctx, marketQuery+"Sessions", &marketpb.QuerySessions{Pagination: page}, &r); err != nil {
			return nil, nil, err
		}
		var next []byte
		if r.Pagination != nil {
			next = r.Pagination.NextKey
		}
		sessions, err := parseAll(r.Sessions, parseSession)
		return sessions, next, err
	})
	if err != nil {
		return nil, fmt.Errorf("list recent sessions: %w", err)
	}
	return recent, nil
}

// recent asks for pages until one of them is all older than since. An order that
// waited long opens its session after younger ones, but not a page later.
func recent(since uint64, most int, fetch func(*sdkquery.PageRequest) ([]job.Session, []byte, error)) (found []job.Session, err error) {
	for page := (&sdkquery.PageRequest{Limit: pageSize, Reverse: true}); ; {
		sessions, next, err := fetch(page)
		if err != nil {
			return nil, err
		}
		before := len(found)
		for _, s := range sessions {
			if s.Opened >= since {
				found = append(found, s)
			}
		}
		if len(found) >= most {
			return found[:most], nil
		}
		if len(next) == 0 || len(found) == before {
			return found, nil
		}
		page.Key = next
	}
}
