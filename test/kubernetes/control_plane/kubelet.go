package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	fakeruntime "k8s.io/cri-client/pkg/fake"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	cadvisor "k8s.io/kubernetes/pkg/kubelet/cadvisor/testing"
	"k8s.io/kubernetes/pkg/kubelet/cm"
	"k8s.io/kubernetes/pkg/kubemark"
)

// One node. Its kubelet is the real code, with real volumes below its root folder and a container runtime that only says
// that it runs something: a pod's volumes are at ROOT/pods/UID/volumes, plain folders with nothing mounted on them. It
// listens nowhere. Whoever starts it watches the Node object to see that it is ready.
func runKubelet() int {
	flags := flag.NewFlagSet("kubelet", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "how it reaches the API server, as user system:node:NAME of group system:nodes")
	name := flags.String("name", "", "its node's name")
	root := flags.String("root", "", "folder of its state and of the pods' volumes; a restarted kubelet finds them again")
	sync := flags.Duration("sync-frequency", 10*time.Second, "how often it looks after each pod though nothing changed")
	flags.Parse(os.Args[1:])

	server, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubelet:", err)
		return 1
	}
	server.UserAgent = "kubelet"
	kubeletFlags, config, err := nodeConfig(*name, *root, *sync)
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubelet:", err)
		return 1
	}
	client := clientset.NewForConfigOrDie(server)
	// As with a kubelet's own: a heartbeat that takes longer than the lease is no heartbeat.
	heartbeats := rest.CopyConfig(server)
	heartbeats.Timeout = min(config.NodeStatusUpdateFrequency.Duration, time.Duration(config.NodeLeaseDurationSeconds)*time.Second)
	heartbeats.QPS = -1

	runtime := fakeruntime.NewFakeRemoteRuntime()
	runtime.RuntimeService.FakeStatus = &cri.RuntimeStatus{Conditions: []*cri.RuntimeCondition{
		{Type: cri.RuntimeReady, Status: true},
		{Type: cri.NetworkReady, Status: true},
	}}
	kubelet := kubemark.NewHollowKubelet(kubeletFlags, config, client, clientset.NewForConfigOrDie(heartbeats),
		&cadvisor.Fake{NodeName: *name}, runtime.ImageService, runtime.RuntimeService, cm.NewStubContainerManager())
	kubelet.Run(context.Background())
	return 1
}

// The defaults of a kubelet, less what would touch the machine.
func nodeConfig(name, root string, sync time.Duration) (*options.KubeletFlags, *kubeletconfig.KubeletConfiguration, error) {
	manifests, logs := filepath.Join(root, "manifests"), filepath.Join(root, "logs")
	for _, folder := range []string{manifests, logs} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, nil, err
		}
	}
	flags := options.NewKubeletFlags()
	flags.RootDirectory = root
	flags.HostnameOverride = name
	flags.CertDirectory = filepath.Join(root, "pki")
	config, err := options.NewKubeletConfiguration()
	if err != nil {
		return nil, nil, err
	}
	config.StaticPodPath = manifests
	config.PodLogsDir = logs
	config.SyncFrequency.Duration = sync
	config.EnableServer = false
	config.ReadOnlyPort = 0
	config.HealthzPort = 0
	config.CgroupsPerQOS = false
	config.EnforceNodeAllocatable = nil
	config.EnableControllerAttachDetach = false
	config.MaxPods = 200
	config.ProviderID = "hollow://" + name
	config.ResolverConfig = ""
	return flags, config, nil
}
