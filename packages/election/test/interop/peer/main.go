// A peer in another language that shares a bucket with us and knows only what every peer on the wire knows: the key
// is the group, the value {"id","token"}, a lease is taken by create, kept by conditional update and runs out when the
// bucket drops it. It believes that it leads until three renewals in a row have failed. On SIGTERM it deletes the key
// without a condition, as such peers do.
//
// peer <servers> <bucket> <id> <heartbeat ms>; prints what our candidates print.
package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/nats-io/nats.go"
)

const (
	group       = "g"
	failuresMax = 3
	pollEvery   = 500 * time.Millisecond
)

type lease struct {
	ID    string `json:"id"`
	Token string `json:"token"`
}

type term struct {
	first uint64
	last  uint64
	value []byte
}

// CLOCK_MONOTONIC in ms: one origin for all processes of the machine.
func monotonic() float64 {
	var at syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&at)), 0)
	return float64(at.Sec)*1e3 + float64(at.Nsec)/1e6
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func newToken() string {
	var raw [16]byte
	must(rand.Read(raw[:]))
	raw[6] = raw[6]&0x0f | 0x40
	raw[8] = raw[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:])
}

func main() {
	servers, bucket, id := os.Args[1], os.Args[2], os.Args[3]
	heartbeat := time.Duration(must(strconv.Atoi(os.Args[4]))) * time.Millisecond
	nc := must(nats.Connect(servers, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond)))
	js := must(nc.JetStream(nats.MaxWait(max(heartbeat/2, time.Second))))
	kv := must(js.KeyValue(bucket))

	var leading atomic.Pointer[term]
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go report(&leading)
	fmt.Println("started")

	for {
		if current := leading.Load(); current != nil {
			if !renewUntilLost(kv, &leading, heartbeat, stop) {
				kv.Delete(group)
				nc.Close()
				return
			}
			continue
		}
		if acquired := acquire(kv, id); acquired != nil {
			leading.Store(acquired)
			continue
		}
		if !awaitVacancy(kv, stop) {
			nc.Close()
			return
		}
		time.Sleep(10*time.Millisecond + time.Duration(mathrand.Int64N(int64(90*time.Millisecond))))
	}
}

func acquire(kv nats.KeyValue, id string) *term {
	value := must(json.Marshal(lease{ID: id, Token: newToken()}))
	revision, err := kv.Create(group, value)
	if err != nil {
		return nil
	}
	return &term{first: revision, last: revision, value: value}
}

// False when it is to stop.
func renewUntilLost(kv nats.KeyValue, leading *atomic.Pointer[term], heartbeat time.Duration, stop chan os.Signal) bool {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	failures := 0
	for {
		select {
		case <-stop:
			leading.Store(nil)
			return false
		case <-beat.C:
		}
		current := leading.Load()
		revision, err := kv.Update(group, current.value, current.last)
		if err == nil {
			failures = 0
			leading.Store(&term{first: current.first, last: revision, value: current.value})
		} else if failures++; failures == failuresMax {
			leading.Store(nil)
			return true
		}
	}
}

// Waits until the key is deleted or gone; expiry is no event, so it is looked for, too. False when it is to stop.
func awaitVacancy(kv nats.KeyValue, stop chan os.Signal) bool {
	watcher, err := kv.Watch(group)
	if err != nil {
		time.Sleep(pollEvery)
		return true
	}
	defer watcher.Stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		select {
		case <-stop:
			return false
		case entry := <-watcher.Updates():
			if entry != nil && (entry.Operation() != nats.KeyValuePut || len(entry.Value()) == 0) {
				return true
			}
		case <-poll.C:
			if entry, err := kv.Get(group); err == nats.ErrKeyNotFound || (err == nil && len(entry.Value()) == 0) {
				return true
			}
		}
	}
}

func report(leading *atomic.Pointer[term]) {
	var epoch uint64
	var last, written float64
	for {
		at := monotonic()
		current := leading.Load()
		if epoch != 0 && (current == nil || current.first != epoch) {
			fmt.Printf("last %d %f\n", epoch, last)
			epoch = 0
		}
		if current != nil {
			if epoch == 0 {
				epoch, written = current.first, 0
			}
			last = at
			if at-written >= 25 {
				fmt.Printf("lead %d %f\n", epoch, at)
				written = at
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
}
