package main

import (
	"context"
	"errors"
	"testing"
)

func TestFaultsOfAStop(t *testing.T) {
	disk := errors.New("the last commit failed")
	for _, c := range []struct{ work, store, want error }{
		{context.Canceled, nil, nil},
		{context.Canceled, context.Canceled, nil},
		{context.Canceled, disk, disk},
		{disk, context.Canceled, disk},
		{nil, nil, nil},
	} {
		if got := faults(c.work, c.store); !errors.Is(got, c.want) || (c.want == nil) != (got == nil) {
			t.Errorf("faults(%v, %v) = %v, want %v", c.work, c.store, got, c.want)
		}
	}
}
