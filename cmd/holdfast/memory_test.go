package main

import "testing"

func TestCollectAt(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int // per cent
	}{
		{0, 200}, {1 << 20, 200}, {8 << 20, 100}, {16 << 20, 50}, {64 << 20, 25}, {10 << 30, 25},
	} {
		if got := collectAt(c.live, garbageFloor); got != c.want {
			t.Errorf("with %d bytes living: at %d %% more, want %d", c.live, got, c.want)
		}
	}
}
