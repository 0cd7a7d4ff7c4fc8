package solr

import (
	"context"
	"fmt"
)

// updates is what a core was ever told to change, since it was loaded.
type updates struct {
	known          bool
	Adds           int64 `json:"UPDATE.updateHandler.cumulativeAdds.count"`
	DeletesByID    int64 `json:"UPDATE.updateHandler.cumulativeDeletesById.count"`
	DeletesByQuery int64 `json:"UPDATE.updateHandler.cumulativeDeletesByQuery.count"`
}

func (s *source) updates(ctx context.Context) (updates, error) {
	var answer struct {
		Beans struct {
			Update struct {
				Handler struct {
					Stats updates `json:"stats"`
				} `json:"updateHandler"`
			} `json:"UPDATE"`
		} `json:"solr-mbeans"`
	}
	err := s.ask(ctx, "ask how often it was changed", "/"+s.from()+"/admin/mbeans",
		query("cat", "UPDATE", "key", "updateHandler", "stats", "true", "json.nl", "map"), &answer)
	u := answer.Beans.Update.Handler.Stats
	u.known = err == nil
	return u, err
}

// Moved says whether somebody has told the core to change documents since the mark
// (snapshot's witness), committed or not. Commits alone do not count.
func (s *source) Moved(ctx context.Context) (string, error) {
	if !s.before.known {
		return "", nil
	}
	now, err := s.updates(ctx)
	if err != nil || now == s.before {
		return "", err
	}
	return fmt.Sprintf("documents added: %d, deleted: %d, deletions by query: %d", now.Adds-s.before.Adds,
		now.DeletesByID-s.before.DeletesByID, now.DeletesByQuery-s.before.DeletesByQuery), nil
}
