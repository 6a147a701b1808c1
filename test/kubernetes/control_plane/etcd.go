package main

import (
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"go.etcd.io/etcd/server/v3/embed"
)

// An etcd of one member that listens on Unix sockets alone: it needs no port, no password and no certificate, and whoever
// cannot enter the folder cannot reach it. Prints "ready" once it serves; SIGTERM and SIGINT end it in good order.
func runEtcd() int {
	flags := flag.NewFlagSet("etcd", flag.ExitOnError)
	dataDir := flags.String("data-dir", "", "folder of its database")
	socket := flags.String("socket", "", "path of its clients' socket; its own is beside it, with .peer added")
	flags.Parse(os.Args[1:])

	config := embed.NewConfig()
	config.Dir = *dataDir
	config.LogLevel = "warn"
	clients := url.URL{Scheme: "unix", Path: *socket}
	peers := url.URL{Scheme: "unix", Path: *socket + ".peer"}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{clients}, []url.URL{clients}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peers}, []url.URL{peers}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	// A test's cluster lives for minutes and survives kills of its processes, not of the machine.
	config.UnsafeNoFsync = true

	server, err := embed.StartEtcd(config)
	if err != nil {
		fmt.Fprintln(os.Stderr, "etcd:", err)
		return 1
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	for {
		select {
		case <-server.Server.ReadyNotify():
			fmt.Println("ready")
			select {
			case <-stop:
				server.Close()
				return 0
			case err = <-server.Err():
			}
		case <-stop:
			server.Close()
			return 0
		case err = <-server.Err():
		}
		fmt.Fprintln(os.Stderr, "etcd:", err)
		return 1
	}
}
