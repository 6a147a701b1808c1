"""Writes into the chart's values.schema.json what `meshca serve` and `meshca agent` know of their configuration: keys, types,
choices and bounds, from the one place that declares them, proto/meshca/config/v1.

    build/venv/bin/python charts/config_schema.py          after a change of those files
    build/venv/bin/python charts/config_schema.py --check  says whether one was forgotten; a test does the same

The rest of the schema is written by hand and left as it is.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "charts" / "meshca" / "values.schema.json"
# What the chart itself decides, because volumes, ports and probes of the pod hang on it.
OF_THE_CHART = {
    "Config": {"state_dir", "listen", "http_listen", "admin_socket", "api_socket", "kek_file", "authority.plugged_in_ca",
               "kubernetes.kubeconfig"},
    "AgentConfig": {"token_file", "state_dir", "http_listen", "admin_socket", "api_socket"},
}
# Longer units and several at once, as cli/config/value.cc reads them.
DURATION = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|y))+$"}
PACKAGE = "meshca.config.v1"


class Declarations:
    """The messages of the configuration, with the options that their keys carry."""

    def __init__(self):
        with tempfile.NamedTemporaryFile() as compiled:
            files = [f"meshca/config/v1/{name}.proto" for name in ("options", "config", "agent_config")]
            subprocess.run(["protoc", f"-I{ROOT / 'proto'}", "--include_imports", f"--descriptor_set_out={compiled.name}",
                            *files], check=True)
            files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(compiled.name).read_bytes())
        self._pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            self._pool.Add(file)
        self._options = message_factory.GetMessageClass(self._pool.FindMessageTypeByName("google.protobuf.FieldOptions"))
        # Known from here on to those who read options of this pool.
        self._key = self._pool.FindExtensionByName(f"{PACKAGE}.key")
        message_factory.GetMessageClass(self._key.message_type)

    def message(self, name):
        return self._pool.FindMessageTypeByName(f"{PACKAGE}.{name}")

    def key_of(self, field):
        """What the field says about itself."""
        return self._options.FromString(field.GetOptions().SerializeToString()).Extensions[self._key]

    def schema(self, message, left_out=frozenset(), prefix=""):
        """Of a mapping with the keys of `message`, less those whose path is in `left_out`."""
        properties, required = {}, []
        for field in message.fields:
            path = prefix + field.name
            if path in left_out:
                continue
            key = self.key_of(field)
            one = self._one(field, key, left_out, path)
            properties[field.name] = {"type": "array", "items": one} if field.is_repeated else one
            if key.help:
                properties[field.name] = {"description": key.help, **properties[field.name]}
            if key.required:
                required.append(field.name)
        made = {"type": "object", "additionalProperties": False, "properties": properties}
        return {**made, "required": required} if required else made

    def _one(self, field, key, left_out, path):
        if field.message_type and field.message_type.full_name == "google.protobuf.Duration":
            return dict(DURATION)
        if field.message_type:
            return self.schema(field.message_type, left_out, path + ".")
        if field.enum_type:
            prefix = enum_prefix(field.enum_type)
            names = [value.name.removeprefix(prefix).lower().replace("_", "-") for value in field.enum_type.values]
            return {"enum": [name for name in names if name != "unspecified"]}
        if field.type == field.TYPE_BOOL:
            return {"type": "boolean"}
        if field.type == field.TYPE_STRING:
            return {"type": "string", "minLength": 1}
        assert field.type == field.TYPE_UINT32, f"{path}: a type that has no schema yet"
        bounds = {"minimum": key.minimum, "maximum": key.maximum if key.HasField("maximum") else 2**32 - 1}
        return {"type": "integer", **bounds}


def enum_prefix(enum):
    """KEY_TYPE_ of the enum KeyType."""
    return "".join("_" + letter if letter.isupper() else letter.upper() for letter in enum.name).upper().lstrip("_") + "_"


def renewed(schema):
    """`schema` with the definitions that the configuration gives."""
    declared = Declarations()
    server = declared.schema(declared.message("Config"), OF_THE_CHART["Config"])
    definitions = schema["$defs"]
    definitions["server_config"] = server
    definitions["agent_config"] = declared.schema(declared.message("AgentConfig"), OF_THE_CHART["AgentConfig"])
    return schema


def text_of(schema):
    return json.dumps(schema, indent=1) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when something is to be changed")
    options = parser.parse_args()
    before = SCHEMA.read_text(encoding="utf-8")
    after = text_of(renewed(json.loads(before)))
    if options.check and before != after:
        sys.exit(f"{SCHEMA} is not what proto/{PACKAGE.replace('.', '/')} says: run charts/config_schema.py")
    if not options.check:
        SCHEMA.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
