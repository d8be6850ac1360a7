//! Responses of the Flight SQL commands.

use arrow_flight::sql::{Any, ProstMessageExt};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, IpcMessage, SchemaAsIpc, Ticket};
use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use prost::Message;
use tonic::{Request, Response, Status};

use super::query_log::QueryEntry;
use super::status;
use super::stream::{self as rows, DataStream};

pub(super) type DataResponse = Result<Response<DataStream>, Status>;
pub(super) type InfoResponse = Result<Response<FlightInfo>, Status>;

/// Adds the query id to a response.
pub(super) fn with_query_id<T>(mut response: Response<T>, entry: &QueryEntry) -> Response<T> {
    entry.add_query_id(response.metadata_mut());
    response
}

/// A FlightInfo with one endpoint for the ticket.
pub(super) fn info(schema: &Schema, ticket: &Any, descriptor: FlightDescriptor) -> InfoResponse {
    let endpoint = FlightEndpoint::new().with_ticket(Ticket { ticket: ticket.encode_to_vec().into() });
    let info = FlightInfo::new().try_with_schema(schema).map_err(|error| status::fault(&error.to_string()))?;
    Ok(Response::new(info.with_endpoint(endpoint).with_descriptor(descriptor).with_ordered(true)))
}

/// The FlightInfo of a command whose ticket is the command itself.
pub(super) fn command_info(
    schema: &Schema,
    command: &impl ProstMessageExt,
    request: Request<FlightDescriptor>,
) -> InfoResponse {
    info(schema, &command.as_any(), request.into_inner())
}

pub(super) fn schema_bytes(schema: &Schema) -> Result<Bytes, Status> {
    let message: Result<IpcMessage, _> = SchemaAsIpc::new(schema, &Default::default()).try_into();
    Ok(message.map_err(|error| status::fault(&error.to_string()))?.0)
}

pub(super) fn send_batch(batch: RecordBatch, request: &Request<Ticket>) -> DataResponse {
    Ok(Response::new(rows::send_batch(batch, request.metadata())?))
}

pub(super) fn empty(schema: SchemaRef, request: &Request<Ticket>) -> DataResponse {
    send_batch(RecordBatch::new_empty(schema), request)
}

pub(super) fn flight_fault(error: arrow_flight::error::FlightError) -> Status {
    status::fault(&error.to_string())
}
