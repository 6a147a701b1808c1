// Prints the descriptors that the protocols' owners publish as Go packages: a serialised FileDescriptorSet on
// standard output, one file for each package imported here.
package main

import (
	"log"
	"os"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1"
	istio "istio.io/api/security/v1alpha1"
)

func main() {
	set := &descriptorpb.FileDescriptorSet{}
	for _, file := range []protoreflect.FileDescriptor{
		istio.File_security_v1alpha1_ca_proto,
		reflection.File_grpc_reflection_v1_reflection_proto,
	} {
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
	}
	bytes, err := proto.Marshal(set)
	if err != nil {
		log.Fatal(err)
	}
	os.Stdout.Write(bytes)
}
