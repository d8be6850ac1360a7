//! The gRPC service: what Flight SQL's own dispatch leaves out, and clear answers to malformed requests.

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{Any, Command};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, PollInfo,
    SchemaResult, Ticket,
};
use futures::stream::{self, BoxStream, StreamExt};
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use super::service::{CANCEL_FLIGHT_INFO, Service};
use super::status;

/// A [`Service`] as tonic serves it.
pub(super) struct Endpoint(pub(super) Service);

/// Refuses what is no message of Flight SQL, before the dispatch calls it an internal error.
fn check(command: &[u8], what: &str) -> Result<(), Status> {
    let decoded = Any::decode(command).map(Command::try_from);
    match decoded {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(status::invalid(format!("the {what} is no message of Flight SQL"))),
    }
}

fn check_descriptor(descriptor: &FlightDescriptor) -> Result<(), Status> {
    if descriptor.cmd.is_empty() {
        return Err(status::invalid("this is a Flight SQL server: a descriptor holds a command and no path"));
    }
    check(&descriptor.cmd, "command")
}

#[tonic::async_trait]
impl FlightService for Endpoint {
    type HandshakeStream = <Service as FlightService>::HandshakeStream;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = <Service as FlightService>::DoGetStream;
    type DoPutStream = <Service as FlightService>::DoPutStream;
    type DoActionStream = <Service as FlightService>::DoActionStream;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;
    type DoExchangeStream = <Service as FlightService>::DoExchangeStream;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        self.0.handshake(request).await
    }

    /// Tables are listed by GetTables; there are no other flights.
    async fn list_flights(&self, _request: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        Ok(Response::new(stream::empty().boxed()))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        check_descriptor(request.get_ref())?;
        self.0.get_flight_info(request).await
    }

    /// A query is ready as soon as it is planned: its rows come while it runs.
    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        let info = self.get_flight_info(request).await?.into_inner();
        let ready = PollInfo { info: Some(info), flight_descriptor: None, progress: Some(1.0), expiration_time: None };
        Ok(Response::new(ready))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let info = self.get_flight_info(request).await?.into_inner();
        Ok(Response::new(SchemaResult { schema: info.schema }))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        check(&request.get_ref().ticket, "ticket")?;
        self.0.do_get(request).await
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        self.0.do_put(request).await
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        self.0.do_action(request).await
    }

    async fn list_actions(&self, _request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        let actions = [
            ("CreatePreparedStatement", "Plans a statement and keeps it behind a handle"),
            ("ClosePreparedStatement", "Forgets a prepared statement"),
            ("CancelQuery", "Stops a query by its FlightInfo; older form of CancelFlightInfo"),
            (CANCEL_FLIGHT_INFO, "Stops a query by its FlightInfo"),
        ];
        let action = |(name, description): (&str, &str)| {
            Ok(ActionType { r#type: name.to_owned(), description: description.to_owned() })
        };
        Ok(Response::new(stream::iter(actions.map(action)).boxed()))
    }

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        self.0.do_exchange(request).await
    }
}
