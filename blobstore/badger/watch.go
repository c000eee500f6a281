package badger

import (
	"context"
	"sync"

	"dxd/blobstore"
)

// watchers knows who waits for changes.
type watchers struct {
	mu  sync.Mutex // guards all
	all map[*watcher]struct{}
}

type watcher struct {
	prefix blobstore.Key
	tokens chan struct{}
}

// Watch is blobstore.Journal's.
func (s *Store) Watch(ctx context.Context, prefix blobstore.Key) <-chan struct{} {
	w := &watcher{prefix, make(chan struct{}, 1)}
	s.watchers.add(w)
	context.AfterFunc(ctx, func() { s.watchers.remove(w) })
	return w.tokens
}

func (ws *watchers) add(w *watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.all == nil {
		ws.all = map[*watcher]struct{}{}
	}
	ws.all[w] = struct{}{}
}

func (ws *watchers) remove(w *watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.all, w)
}

// tell leaves a token with whoever watches one of the keys.
func (ws *watchers) tell(writes *layer) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.all {
		if !writes.touches(w.prefix) {
			continue
		}
		select {
		case w.tokens <- struct{}{}:
		default: // one is there already
		}
	}
}
