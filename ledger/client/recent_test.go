package client

import (
	"errors"
	"slices"
	"testing"

	sdkquery "github.com/cosmos/cosmos-sdk/types/query"

	"daulat/core/job"
)

// TestRecentStops: pages are asked for newest first, until one holds nothing that
// is young enough, none is left, or there is enough.
func TestRecentStops(t *testing.T) {
	// By ID downwards; 7 waited long, so it opened after 8.
	pages := [][]job.Session{{{ID: 9, Opened: 90}, {ID: 8, Opened: 40}}, {{ID: 7, Opened: 60}, {ID: 6, Opened: 40}}, {{ID: 5, Opened: 10}}, {{ID: 4, Opened: 99}}}
	for name, c := range map[string]struct {
		since uint64
		most  int
		want  []uint64
		asked int
	}{
		"until a page is too old": {50, 100, []uint64{9, 7}, 3},
		"all":                     {0, 100, []uint64{9, 8, 7, 6, 5, 4}, 4},
		"enough":                  {0, 3, []uint64{9, 8, 7}, 2},
		"none":                    {95, 100, nil, 1},
	} {
		asked := 0
		found, err := recent(c.since, c.most, func(page *sdkquery.PageRequest) ([]job.Session, []byte, error) {
			if !page.Reverse || page.Limit != pageSize || (asked == 0) != (page.Key == nil) {
				t.Errorf("%s: page %d asks %+v", name, asked, page)
			}
			asked++
			if asked == len(pages) {
				return pages[asked-1], nil, nil
			}
			return pages[asked-1], []byte{1}, nil
		})
		var ids []uint64
		for _, s := range found {
			ids = append(ids, s.ID)
		}
		if err != nil || !slices.Equal(ids, c.want) || asked != c.asked {
			t.Errorf("%s: %v after %d pages, %v", name, ids, asked, err)
		}
	}
	broken := errors.New("broken")
	if _, err := recent(0, 1, func(*sdkquery.PageRequest) ([]job.Session, []byte, error) { return nil, nil, broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}
