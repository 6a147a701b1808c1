"""Our contracts equal the published ones: every field, enum value, service and method of proto/, outside proto/meshca,
against the descriptors in packages that the protocols' owners publish."""

import importlib
import pathlib
import subprocess

import pytest
from google.protobuf import descriptor_pb2

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto"
PUBLISHED_GO = pathlib.Path(__file__).resolve().parent / "published"

# Protobuf package -> Python modules of the published package. A package of xds-protos needs no entry: there the
# folder is the package. The packages in GO come from the Go program in published/.
PYTHON_MODULES = {
    "": ["spiffe._proto.workload_pb2"],
    "grpc.health.v1": ["grpc_health.v1.health_pb2"],
    "grpc.reflection.v1alpha": ["grpc_reflection.v1alpha.reflection_pb2"],
}
GO = {"istio.v1.auth", "grpc.reflection.v1"}

FIELD = descriptor_pb2.FieldDescriptorProto


def ours():
    names = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    return [name for name in names if not name.startswith("meshca/")]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Our files by name, as protoc understands them."""
    out = tmp_path_factory.mktemp("descriptors") / "ours.bin"
    subprocess.run(["protoc", f"-I{PROTO}", f"--descriptor_set_out={out}", *ours()], check=True, cwd=PROTO)
    files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    return {file.name: file for file in files}


@pytest.fixture(scope="module")
def published_by_go():
    done = subprocess.run(["go", "run", "."], cwd=PUBLISHED_GO, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return list(descriptor_pb2.FileDescriptorSet.FromString(done.stdout).file)


def published_by_python(package):
    """The published files of one protobuf package."""
    modules = PYTHON_MODULES.get(package)
    if modules is None:
        folder = package.replace(".", "/")
        modules = sorted({f"{package}.{path.stem}" for base in importlib.import_module(package).__path__
                          for path in pathlib.Path(base).glob("*_pb2.py")})
        assert modules, f"no published package holds {folder}/*.proto"
    files = []
    for module in modules:
        file = descriptor_pb2.FileDescriptorProto()
        importlib.import_module(module).DESCRIPTOR.CopyToProto(file)
        files.append(file)
    return files


def index(files):
    """(messages, enums, services) by full name."""
    messages, enums, services = {}, {}, {}

    def walk(scope, message):
        name = f"{scope}.{message.name}" if scope else message.name
        messages[name] = message
        for nested in message.nested_type:
            walk(name, nested)
        for enum in message.enum_type:
            enums[f"{name}.{enum.name}"] = enum

    for file in files:
        for message in file.message_type:
            walk(file.package, message)
        for enum in file.enum_type:
            enums[f"{file.package}.{enum.name}".lstrip(".")] = enum
        for service in file.service:
            services[f"{file.package}.{service.name}".lstrip(".")] = service
    return messages, enums, services


def oneof(message, field):
    """The name of the oneof that holds the field; None outside of any. What proto3 makes of `optional` is none."""
    return message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") and not field.proto3_optional \
        else None


def describe(message, field):
    return (f"number {field.number}, {FIELD.Label.Name(field.label)} {FIELD.Type.Name(field.type)} {field.type_name}, "
            f"optional {field.proto3_optional}, oneof {oneof(message, field)}")


def differences(our_file, published):
    """Each way in which `our_file` says something else than the published files, as a sentence."""
    messages, enums, services = index(published)
    our_messages, our_enums, our_services = index([our_file])
    found = []
    if published and our_file.syntax != published[0].syntax:
        found.append(f"syntax {our_file.syntax}, published {published[0].syntax}")
    for name, message in our_messages.items():
        if name not in messages:
            found.append(f"message {name} is not published")
            continue
        theirs = {field.name: field for field in messages[name].field}
        for field in message.field:
            if field.name not in theirs:
                found.append(f"{name}.{field.name} is not published")
            elif describe(message, field) != describe(messages[name], theirs[field.name]):
                found.append(f"{name}.{field.name}: {describe(message, field)}; "
                             f"published: {describe(messages[name], theirs[field.name])}")
        if message.options.map_entry != messages[name].options.map_entry:
            found.append(f"{name} is a map in one only")
    for name, enum in our_enums.items():
        values = {value.name: value.number for value in enums[name].value} if name in enums else {}
        found += [f"enum {name}: {value.name} = {value.number}; published: {values.get(value.name)}"
                  for value in enum.value if values.get(value.name) != value.number]
    for name, service in our_services.items():
        methods = {method.name: method for method in services[name].method} if name in services else {}
        for method in service.method:
            theirs = methods.get(method.name)
            if theirs is None:
                found.append(f"method {name}/{method.name} is not published")
            elif ((method.input_type, method.output_type, method.client_streaming, method.server_streaming) !=
                  (theirs.input_type, theirs.output_type, theirs.client_streaming, theirs.server_streaming)):
                found.append(f"method {name}/{method.name} differs: {method} published: {theirs}")
    return found


@pytest.mark.parametrize("name", ours())
@pytest.mark.timeout(300)
def test_file_is_a_subset_of_the_published_one(name, compiled, request):
    ours_ = compiled[name]
    if ours_.package in GO:
        published = [file for file in request.getfixturevalue("published_by_go") if file.package == ours_.package]
    else:
        published = published_by_python(ours_.package)
    assert published, f"no published package holds {ours_.package}"
    assert differences(ours_, published) == []


@pytest.mark.parametrize("change, words", [
    (lambda file: setattr(file.message_type[0].field[0], "number", 9), "number 9"),
    (lambda file: setattr(file.message_type[0].field[0], "name", "other"), "other is not published"),
    (lambda file: setattr(file.message_type[0].field[0], "type", FIELD.TYPE_BYTES), "TYPE_BYTES"),
    (lambda file: setattr(file.message_type[0].field[0], "label", FIELD.LABEL_REPEATED), "LABEL_REPEATED"),
    (lambda file: setattr(file.message_type[0], "name", "Other"), "message grpc.health.v1.Other"),
    (lambda file: setattr(file.message_type[1].enum_type[0].value[1], "number", 5), "SERVING = 5"),
    (lambda file: setattr(file.service[0].method[0], "server_streaming", True), "Health/Check differs"),
    (lambda file: setattr(file.service[0].method[0], "name", "Chek"), "Health/Chek is not published"),
], ids=["number", "name", "type", "label", "message", "enum value", "streaming", "method"])
def test_a_drift_is_found(change, words, compiled):
    drifted = descriptor_pb2.FileDescriptorProto()
    drifted.CopyFrom(compiled["grpc/health/v1/health.proto"])
    change(drifted)
    assert any(words in found for found in differences(drifted, published_by_python("grpc.health.v1")))
