// A Kubernetes control plane and its nodes' kubelets in one program, for the tests of meshca: the real servers, linked from
// their Go modules as they are published. Each runs as a process of its own, by the first word of its command line; the
// words after it are that server's own flags.
package main

import (
	"fmt"
	"os"

	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

// What each word starts. The value returned is the process's exit code.
var servers = map[string]func() int{
	"etcd":                    runEtcd,
	"kube-apiserver":          func() int { return cli.Run(apiserver.NewAPIServerCommand()) },
	"kube-controller-manager": func() int { return cli.Run(controllers.NewControllerManagerCommand()) },
	"kubelet":                 runKubelet,
}

func main() {
	if len(os.Args) > 1 {
		if run, known := servers[os.Args[1]]; known {
			// The servers' own commands look at os.Args, and name themselves by its first word.
			os.Args = os.Args[1:]
			os.Exit(run())
		}
	}
	fmt.Fprintln(os.Stderr, "usage: control-plane etcd|kube-apiserver|kube-controller-manager|kubelet [FLAG...]")
	os.Exit(2)
}
