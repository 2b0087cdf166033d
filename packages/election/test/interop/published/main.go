// A candidate on the published Go library whose wire form we share.
//
// published <servers> <bucket> <id> <ttl ms> <heartbeat ms> [priority ["takeover"]]; prints what our candidates print, and
// `sees <id>` for each leader that it comes to know. The revision that its status has when it begins to lead stands for the
// epoch: it lies above all earlier terms and below all later ones.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"github.com/ali-assar/NATS-Leader-Election/leader"
	"github.com/nats-io/nats.go"
)

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

func milliseconds(text string) time.Duration {
	return time.Duration(must(strconv.Atoi(text))) * time.Millisecond
}

func main() {
	nc := must(nats.Connect(os.Args[1], nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond)))
	config := leader.ElectionConfig{
		Bucket:            os.Args[2],
		Group:             "g",
		InstanceID:        os.Args[3],
		TTL:               milliseconds(os.Args[4]),
		HeartbeatInterval: milliseconds(os.Args[5]),
	}
	if len(os.Args) > 6 {
		config.Priority = must(strconv.Atoi(os.Args[6]))
		config.AllowPriorityTakeover = len(os.Args) > 7
	}
	election := must(leader.NewElectionWithConn(nc, config))
	must(0, election.Start(context.Background()))
	fmt.Println("started")
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)

	var token, seen string
	var epoch uint64
	var last, written float64
	for {
		select {
		case <-stop:
			election.StopWithContext(context.Background(), leader.StopOptions{DeleteKey: true, WaitForDemote: true})
			nc.Close()
			return
		case <-time.After(2 * time.Millisecond):
		}
		at := monotonic()
		status := election.Status()
		if token != "" && (!status.IsLeader || status.Token != token) {
			fmt.Printf("last %d %f\n", epoch, last)
			token = ""
		}
		if status.LeaderID != seen {
			seen = status.LeaderID
			fmt.Println("sees", seen)
		}
		if status.IsLeader {
			if token == "" {
				token, epoch, written = status.Token, status.Revision, 0
			}
			last = at
			if at-written >= 25 {
				fmt.Printf("lead %d %f\n", epoch, at)
				written = at
			}
		}
	}
}
