//! gRPC reflection: descriptions of the server's services, for tools that discover services.
//!
//! arrow-flight does not publish the descriptor of its service. The tables here are Flight's messages with the field
//! numbers of its specification (format/Flight.proto of Apache Arrow); a test compares them with arrow-flight's own
//! encoding.

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, MethodDescriptorProto, OneofDescriptorProto, ServiceDescriptorProto,
};
use tonic_reflection::server::{Builder, Error};

const PACKAGE: &str = "arrow.flight.protocol";
const TIMESTAMP: &str = "google/protobuf/timestamp.proto";

/// The type of a field.
#[derive(Clone, Copy)]
enum FieldType {
    Bytes,
    Str,
    RepeatedStr,
    Boolean,
    Unsigned,
    Signed,
    /// An optional double.
    Float,
    Message(&'static str),
    Repeated(&'static str),
    Enum(&'static str),
    Timestamp,
}

use FieldType::{Boolean, Bytes, Enum, Float, Message, Repeated, RepeatedStr, Signed, Str, Timestamp, Unsigned};

/// Name, number and type of a field.
type FieldSpec = (&'static str, i32, FieldType);

const MESSAGES: &[(&str, &[FieldSpec])] = &[
    ("HandshakeRequest", &[("protocol_version", 1, Unsigned), ("payload", 2, Bytes)]),
    ("HandshakeResponse", &[("protocol_version", 1, Unsigned), ("payload", 2, Bytes)]),
    ("BasicAuth", &[("username", 2, Str), ("password", 3, Str)]),
    ("Empty", &[]),
    ("ActionType", &[("type", 1, Str), ("description", 2, Str)]),
    ("Criteria", &[("expression", 1, Bytes)]),
    ("Action", &[("type", 1, Str), ("body", 2, Bytes)]),
    ("CancelFlightInfoRequest", &[("info", 1, Message("FlightInfo"))]),
    ("RenewFlightEndpointRequest", &[("endpoint", 1, Message("FlightEndpoint"))]),
    ("Result", &[("body", 1, Bytes)]),
    ("CancelFlightInfoResult", &[("status", 1, Enum("CancelStatus"))]),
    ("SchemaResult", &[("schema", 1, Bytes)]),
    (
        "FlightDescriptor",
        &[("type", 1, Enum("FlightDescriptor.DescriptorType")), ("cmd", 2, Bytes), ("path", 3, RepeatedStr)],
    ),
    (
        "FlightInfo",
        &[
            ("schema", 1, Bytes),
            ("flight_descriptor", 2, Message("FlightDescriptor")),
            ("endpoint", 3, Repeated("FlightEndpoint")),
            ("total_records", 4, Signed),
            ("total_bytes", 5, Signed),
            ("ordered", 6, Boolean),
            ("app_metadata", 7, Bytes),
        ],
    ),
    (
        "PollInfo",
        &[
            ("info", 1, Message("FlightInfo")),
            ("flight_descriptor", 2, Message("FlightDescriptor")),
            ("progress", 3, Float),
            ("expiration_time", 4, Timestamp),
        ],
    ),
    (
        "FlightEndpoint",
        &[
            ("ticket", 1, Message("Ticket")),
            ("location", 2, Repeated("Location")),
            ("expiration_time", 3, Timestamp),
            ("app_metadata", 4, Bytes),
        ],
    ),
    ("Location", &[("uri", 1, Str)]),
    ("Ticket", &[("ticket", 1, Bytes)]),
    (
        "FlightData",
        &[
            ("flight_descriptor", 1, Message("FlightDescriptor")),
            ("data_header", 2, Bytes),
            ("app_metadata", 3, Bytes),
            ("data_body", 1000, Bytes),
        ],
    ),
    ("PutResult", &[("app_metadata", 1, Bytes)]),
];

/// Name, request and whether it is a stream, response and whether it is a stream.
const METHODS: &[(&str, &str, bool, &str, bool)] = &[
    ("Handshake", "HandshakeRequest", true, "HandshakeResponse", true),
    ("ListFlights", "Criteria", false, "FlightInfo", true),
    ("GetFlightInfo", "FlightDescriptor", false, "FlightInfo", false),
    ("PollFlightInfo", "FlightDescriptor", false, "PollInfo", false),
    ("GetSchema", "FlightDescriptor", false, "SchemaResult", false),
    ("DoGet", "Ticket", false, "FlightData", true),
    ("DoPut", "FlightData", true, "PutResult", true),
    ("DoExchange", "FlightData", true, "FlightData", true),
    ("DoAction", "Action", false, "Result", true),
    ("ListActions", "Empty", false, "ActionType", true),
];

fn full(name: &str) -> Option<String> {
    Some(format!(".{PACKAGE}.{name}"))
}

fn field((name, number, field_type): &FieldSpec) -> FieldDescriptorProto {
    let (kind, type_name) = match field_type {
        Bytes => (Type::Bytes, None),
        Str | RepeatedStr => (Type::String, None),
        Boolean => (Type::Bool, None),
        Unsigned => (Type::Uint64, None),
        Signed => (Type::Int64, None),
        Float => (Type::Double, None),
        Message(message) | Repeated(message) => (Type::Message, full(message)),
        Enum(values) => (Type::Enum, full(values)),
        Timestamp => (Type::Message, Some(".google.protobuf.Timestamp".to_owned())),
    };
    let label = if matches!(field_type, RepeatedStr | Repeated(_)) { Label::Repeated } else { Label::Optional };
    let may_be_absent = matches!(field_type, Float);
    FieldDescriptorProto {
        name: Some((*name).to_owned()),
        number: Some(*number),
        label: Some(label.into()),
        r#type: Some(kind.into()),
        type_name,
        // proto3 optional: the only field of a synthetic oneof
        oneof_index: may_be_absent.then_some(0),
        proto3_optional: may_be_absent.then_some(true),
        ..Default::default()
    }
}

fn message((name, fields): &(&str, &[FieldSpec])) -> DescriptorProto {
    let hidden = fields.iter().filter(|(_, _, field_type)| matches!(field_type, Float));
    let hidden = hidden.map(|(name, _, _)| OneofDescriptorProto { name: Some(format!("_{name}")), options: None });
    let nested = values("DescriptorType", &["UNKNOWN", "PATH", "CMD"]);
    DescriptorProto {
        name: Some((*name).to_owned()),
        field: fields.iter().map(field).collect(),
        oneof_decl: hidden.collect(),
        enum_type: if *name == "FlightDescriptor" { vec![nested] } else { vec![] },
        ..Default::default()
    }
}

/// An enum whose values are numbered from 0.
fn values(name: &str, values: &[&str]) -> EnumDescriptorProto {
    let value = |(number, name): (i32, &&str)| EnumValueDescriptorProto {
        name: Some((*name).to_owned()),
        number: Some(number),
        options: None,
    };
    EnumDescriptorProto {
        name: Some(name.to_owned()),
        value: (0..).zip(values).map(value).collect(),
        ..Default::default()
    }
}

/// The descriptors of Flight and of the types that it imports.
fn flight() -> FileDescriptorSet {
    let cancel = [
        "CANCEL_STATUS_UNSPECIFIED",
        "CANCEL_STATUS_CANCELLED",
        "CANCEL_STATUS_CANCELLING",
        "CANCEL_STATUS_NOT_CANCELLABLE",
    ];
    let method =
        |(name, request, asks_many, answer, gives_many): &(&str, &str, bool, &str, bool)| MethodDescriptorProto {
            name: Some((*name).to_owned()),
            input_type: full(request),
            output_type: full(answer),
            options: None,
            client_streaming: Some(*asks_many),
            server_streaming: Some(*gives_many),
        };
    let service = ServiceDescriptorProto {
        name: Some("FlightService".to_owned()),
        method: METHODS.iter().map(method).collect(),
        options: None,
    };
    let file = FileDescriptorProto {
        name: Some("Flight.proto".to_owned()),
        package: Some(PACKAGE.to_owned()),
        dependency: vec![TIMESTAMP.to_owned()],
        message_type: MESSAGES.iter().map(message).collect(),
        enum_type: vec![values("CancelStatus", &cancel)],
        service: vec![service],
        syntax: Some("proto3".to_owned()),
        ..Default::default()
    };
    let number = |name: &str, number, kind: Type| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(kind.into()),
        ..Default::default()
    };
    let timestamp = DescriptorProto {
        name: Some("Timestamp".to_owned()),
        field: vec![number("seconds", 1, Type::Int64), number("nanos", 2, Type::Int32)],
        ..Default::default()
    };
    let timestamp = FileDescriptorProto {
        name: Some(TIMESTAMP.to_owned()),
        package: Some("google.protobuf".to_owned()),
        message_type: vec![timestamp],
        syntax: Some("proto3".to_owned()),
        ..Default::default()
    };
    FileDescriptorSet { file: vec![timestamp, file] }
}

/// The builder of the reflection service: Flight, health and reflection itself.
pub(super) fn described<'a>() -> Builder<'a> {
    Builder::configure()
        .register_file_descriptor_set(flight())
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// Describes why the reflection service cannot be built, which is a fault.
pub(super) fn fault(error: &Error) -> String {
    format!("the services cannot be described: {error}")
}

#[cfg(test)]
mod tests {
    use arrow_flight::{FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, Location, PollInfo, Ticket};
    use prost::Message as _;

    use super::*;

    /// Numbers and wire types of the fields of an encoded message.
    fn fields(mut bytes: &[u8]) -> Vec<(i32, u8)> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let key = prost::encoding::decode_varint(&mut bytes).unwrap();
            found.push(((key >> 3) as i32, (key & 7) as u8));
            match key & 7 {
                0 => _ = prost::encoding::decode_varint(&mut bytes).unwrap(),
                1 => bytes = &bytes[8..],
                2 => {
                    let length = prost::encoding::decode_varint(&mut bytes).unwrap();
                    bytes = &bytes[length as usize..];
                }
                other => panic!("wire type {other}"),
            }
        }
        found
    }

    fn described_as(name: &str) -> Vec<(i32, u8)> {
        let (_, fields) = MESSAGES.iter().find(|(known, _)| *known == name).unwrap();
        let wire = |field_type: &FieldType| match field_type {
            Boolean | Unsigned | Signed | Enum(_) => 0,
            Float => 1,
            Bytes | Str | RepeatedStr | Message(_) | Repeated(_) | Timestamp => 2,
        };
        fields.iter().map(|(_, number, field_type)| (*number, wire(field_type))).collect()
    }

    #[test]
    fn messages_are_described_as_they_are_sent() {
        let ticket = Ticket { ticket: vec![1].into() };
        let time = prost_types::Timestamp { seconds: 1, nanos: 0 };
        let descriptor = FlightDescriptor { r#type: 2, cmd: vec![1].into(), path: vec!["a".into()] };
        let endpoint = FlightEndpoint {
            ticket: Some(ticket),
            location: vec![Location { uri: "a".into() }],
            expiration_time: Some(time),
            app_metadata: vec![1].into(),
        };
        let info = FlightInfo {
            schema: vec![1].into(),
            flight_descriptor: Some(descriptor.clone()),
            endpoint: vec![endpoint.clone()],
            total_records: 1,
            total_bytes: 1,
            ordered: true,
            app_metadata: vec![1].into(),
        };
        let poll = PollInfo {
            info: Some(info.clone()),
            flight_descriptor: Some(descriptor.clone()),
            progress: Some(1.0),
            expiration_time: Some(time),
        };
        let data = FlightData {
            flight_descriptor: Some(descriptor.clone()),
            data_header: vec![1].into(),
            app_metadata: vec![1].into(),
            data_body: vec![1].into(),
        };
        for (name, bytes) in [
            ("FlightDescriptor", descriptor.encode_to_vec()),
            ("FlightEndpoint", endpoint.encode_to_vec()),
            ("FlightInfo", info.encode_to_vec()),
            ("PollInfo", poll.encode_to_vec()),
            ("FlightData", data.encode_to_vec()),
        ] {
            assert_eq!(described_as(name), fields(&bytes), "{name}");
        }
    }

    #[test]
    fn every_message_that_is_named_is_described() {
        let known: Vec<&str> = MESSAGES.iter().map(|(name, _)| *name).collect();
        for (_, fields) in MESSAGES {
            for (name, _, field_type) in *fields {
                if let Message(message) | Repeated(message) = field_type {
                    assert!(known.contains(message), "{name}: {message}");
                }
            }
        }
        for (name, request, _, answer, _) in METHODS {
            assert!(known.contains(request) && known.contains(answer), "{name}");
        }
        assert!(described().build_v1().is_ok() && described().build_v1alpha().is_ok());
    }
}
