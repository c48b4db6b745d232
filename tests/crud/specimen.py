"""A message with a field of every kind that a column may keep, made for the tests of codecs."""

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from sqlalchemy import Column, MetaData, Table
from sqlalchemy.types import TypeEngine

from protos.generate import generate

PROTO = """
syntax = "proto3";
package specimen.v1;
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "google/type/date.proto";
import "google/type/decimal.proto";
import "google/type/latlng.proto";
import "google/type/money.proto";
import "google/type/timeofday.proto";

enum Color {
  option allow_alias = true;
  COLOR_UNSPECIFIED = 0;
  COLOR_RED = 1;
  COLOR_CRIMSON = 1;
  COLOR_BLUE = 2;
}
enum Far { FAR_UNSPECIFIED = 0; FAR_AWAY = 70000; }

message Part {
  string text = 1;
  Color color = 2;
  int64 count = 3;
  double size = 4;
  bytes data = 5;
  optional bool flag = 6;
  google.protobuf.Timestamp time = 7;
  google.protobuf.Duration lasts = 8;
  google.protobuf.Value value = 9;
  google.type.Money money = 10;
  Part part = 11;
  repeated Part parts = 12;
  map<string, Part> by_name = 13;
  repeated string texts = 14;
  google.protobuf.FieldMask mask = 15;
  map<string, string> labels = 16;
  repeated Color colors = 17;
  google.protobuf.StringValue wrapped = 18;
  float ratio = 19;
  oneof choice { string this_one = 20; int32 that_one = 21; }
}
message Suitcase { google.protobuf.Any any = 1; Suitcase inner = 2; }

message Specimen {
  string text = 1;
  bytes data = 2;
  bool flag = 3;
  int32 a_int32 = 4;
  sint32 a_sint32 = 5;
  sfixed32 a_sfixed32 = 6;
  uint32 a_uint32 = 7;
  fixed32 a_fixed32 = 8;
  int64 a_int64 = 9;
  sint64 a_sint64 = 10;
  sfixed64 a_sfixed64 = 11;
  uint64 a_uint64 = 12;
  fixed64 a_fixed64 = 13;
  float a_float = 14;
  double a_double = 15;
  Color color = 16;
  Far far = 17;
  google.protobuf.Timestamp time = 20;
  google.protobuf.Duration lasts = 21;
  google.type.Date date = 22;
  google.type.TimeOfDay clock = 23;
  google.type.Decimal decimal = 24;
  google.type.Money money = 25;
  google.type.LatLng place = 26;
  google.protobuf.Struct struct = 27;
  google.protobuf.Value value = 28;
  google.protobuf.ListValue list = 29;
  Part part = 30;
  google.protobuf.Any any = 31;
  Suitcase suitcase = 32;
  google.protobuf.FieldMask mask = 33;
  google.protobuf.StringValue w_string = 40;
  google.protobuf.BytesValue w_bytes = 41;
  google.protobuf.BoolValue w_bool = 42;
  google.protobuf.Int32Value w_int32 = 43;
  google.protobuf.Int64Value w_int64 = 44;
  google.protobuf.UInt32Value w_uint32 = 45;
  google.protobuf.UInt64Value w_uint64 = 46;
  google.protobuf.FloatValue w_float = 47;
  google.protobuf.DoubleValue w_double = 48;
  repeated string texts = 50;
  repeated int64 numbers = 51;
  repeated double sizes = 52;
  repeated bytes datas = 53;
  repeated Color colors = 54;
  repeated Part parts = 55;
  repeated google.protobuf.Timestamp times = 56;
  repeated google.protobuf.Value values = 57;
  repeated uint64 naturals = 58;
  repeated google.protobuf.Any anys = 59;
  repeated bool flags = 64;
  map<string, string> labels = 60;
  map<int64, Part> by_number = 61;
  map<bool, Color> by_flag = 62;
  map<string, Suitcase> suitcases = 63;
  optional string maybe = 70;
}
"""

# Kept for the life of the process, and removed with it.
_FOLDER = tempfile.TemporaryDirectory(prefix="tablestakes-specimen-")
_PROTO = Path(_FOLDER.name, "protos", "specimen", "v1", "specimen.proto")
_PROTO.parent.mkdir(parents=True)
_PROTO.write_text(PROTO)
generate(Path(_FOLDER.name, "protos"), Path(_FOLDER.name, "stubs"))
sys.path.append(str(Path(_FOLDER.name, "stubs")))
specimen_pb2: Any = importlib.import_module("specimen.v1.specimen_pb2")
Specimen, Part = specimen_pb2.Specimen, specimen_pb2.Part


def field(name: str) -> FieldDescriptor:
    """Return the descriptor of a field of the specimen."""
    found: FieldDescriptor = Specimen.DESCRIPTOR.fields_by_name[name]
    return found


def message_of(name: str) -> Any:
    """Return the class of the messages that a field of the specimen takes."""
    kind = field(name).message_type
    assert kind is not None
    return GetMessageClass(kind)


def column(kind: TypeEngine[Any] | type[TypeEngine[Any]], **options: Any) -> Column[Any]:
    """Return a column of a type, in a table."""
    made: Column[Any] = Column("kept", kind, **options)
    Table("shelf", MetaData(), made)
    return made
