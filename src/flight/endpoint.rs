//! The gRPC service: authentication, session actions and checks of malformed requests around the Flight SQL dispatch of
//! [`Service`].

use std::sync::Arc;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{Any, Command};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, SchemaResult, Ticket,
};
use futures::stream::{self, BoxStream, StreamExt};
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use super::auth::{Authenticator, Principal};
use super::client_sessions::{COOKIE, ClientSession, ClientSessions};
use super::connections::Stopping;
use super::metrics::Metrics;
use super::query_log::code_name;
use super::service::{CANCEL_FLIGHT_INFO, CANCEL_QUERY_ID, Service};
use super::{options, status};

const CREATE_PREPARED_STATEMENT: &str = "CreatePreparedStatement";

/// The actions whose body is a message of Flight SQL.
const SQL_ACTIONS: [&str; 8] = [
    "BeginSavepoint",
    "BeginTransaction",
    "CancelQuery",
    "ClosePreparedStatement",
    CREATE_PREPARED_STATEMENT,
    "CreatePreparedSubstraitPlan",
    "EndSavepoint",
    "EndTransaction",
];

/// A [`Service`] behind an [`Authenticator`].
pub(super) struct Endpoint {
    pub(super) service: Service,
    pub(super) authenticator: Authenticator,
    pub(super) sessions: ClientSessions,
    pub(super) metrics: Arc<Metrics>,
    pub(super) stopping: Stopping,
}

impl Endpoint {
    /// Authenticates a request and attaches its principal and client session.
    async fn admit<T>(&self, mut request: Request<T>) -> Result<Request<T>, Status> {
        let principal = self.check(&request).await?;
        let login = self.authenticator.login_of(request.metadata());
        let client = self.sessions.find_or_open(&principal, login, request.metadata(), request.remote_addr())?;
        request.extensions_mut().insert(principal);
        request.extensions_mut().insert(client);
        Ok(request)
    }

    async fn check<T>(&self, request: &Request<T>) -> Result<Principal, Status> {
        let checked = self.authenticator.authenticate(request.metadata(), request.remote_addr()).await;
        checked.inspect_err(|status| self.metrics.refused(code_name(status.code())))
    }

    /// Handles the session actions; `None` for another action.
    fn session_action(&self, request: &Request<Action>) -> Result<Option<Response<ActionStream>>, Status> {
        let client = ClientSession::of_request(request)?;
        let (body, cookie) = match request.get_ref().r#type.as_str() {
            options::SET => {
                let (body, new) = options::set(&self.sessions, &client, &request.get_ref().body)?;
                (body, new.map(|new| format!("{COOKIE}={}; Path=/; HttpOnly", new.id)))
            }
            options::GET => (options::get(&client), None),
            options::CLOSE => {
                let login = self.authenticator.login_of(request.metadata());
                let was_open = self.sessions.close(&client, login);
                // a configured token is no login and stays valid
                let is_closed = self.authenticator.logout(request.metadata()) || was_open;
                let cookie = was_open.then(|| format!("{COOKIE}=; Path=/; Max-Age=0"));
                (options::CloseResult { status: if is_closed { 1 } else { 3 } }.encode_to_vec(), cookie)
            }
            _ => return Ok(None),
        };
        let answer = stream::iter([Ok(arrow_flight::Result { body: body.into() })]).boxed();
        let mut response: Response<ActionStream> = Response::new(answer);
        if let Some(cookie) = cookie {
            let cookie = cookie.parse().map_err(|_| status::fault("a cookie is no header"))?;
            response.metadata_mut().insert("set-cookie", cookie);
        }
        Ok(Some(response))
    }

    /// Refuses a new statement when the server is stopping.
    fn check_open(&self) -> Result<(), Status> {
        if *self.stopping.borrow() {
            return Err(Status::unavailable("the server is stopping and takes no more statements; try again later"));
        }
        Ok(())
    }

    async fn info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        self.check_open()?;
        check_descriptor(request.get_ref())?;
        self.service.get_flight_info(request).await
    }
}

type ActionStream = <Service as FlightService>::DoActionStream;

/// Rejects what is no Flight SQL message, which the dispatch would report as an internal error.
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

    /// The response header contains the token of further requests.
    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let principal = self.check(&request).await?;
        let token = self.authenticator.login(&principal);
        self.metrics.logins.inc();
        let mut response: Response<Self::HandshakeStream> =
            Response::new(stream::iter([Ok(HandshakeResponse::default())]).boxed());
        let header = format!("Bearer {token}").parse();
        response.metadata_mut().insert("authorization", header.map_err(|_| status::fault("a token is no header"))?);
        Ok(response)
    }

    /// Always empty: tables are listed by GetTables.
    async fn list_flights(&self, request: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        self.admit(request).await?;
        Ok(Response::new(stream::empty().boxed()))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let request = self.admit(request).await?;
        self.info(request).await
    }

    /// A query is complete as soon as it is planned: its rows are streamed by DoGet.
    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        let request = self.admit(request).await?;
        let info = self.info(request).await?.into_inner();
        let ready = PollInfo { info: Some(info), flight_descriptor: None, progress: Some(1.0), expiration_time: None };
        Ok(Response::new(ready))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let request = self.admit(request).await?;
        let info = self.info(request).await?.into_inner();
        Ok(Response::new(SchemaResult { schema: info.schema }))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let request = self.admit(request).await?;
        check(&request.get_ref().ticket, "ticket")?;
        self.service.do_get(request).await
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let request = self.admit(request).await?;
        self.service.do_put(request).await
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let request = self.admit(request).await?;
        let action = request.get_ref();
        if action.r#type == CREATE_PREPARED_STATEMENT {
            self.check_open()?;
        }
        if SQL_ACTIONS.contains(&action.r#type.as_str()) {
            check(&action.body, "body of the action")?;
        }
        match self.session_action(&request)? {
            Some(answer) => Ok(answer),
            None => self.service.do_action(request).await,
        }
    }

    async fn list_actions(&self, request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        self.admit(request).await?;
        let actions = [
            (CREATE_PREPARED_STATEMENT, "Plans a statement and keeps it behind a handle"),
            ("ClosePreparedStatement", "Forgets a prepared statement"),
            ("CancelQuery", "Stops a query by its FlightInfo; older form of CancelFlightInfo"),
            (CANCEL_FLIGHT_INFO, "Stops a query by its FlightInfo"),
            (CANCEL_QUERY_ID, "Stops a query by its id, the body of the action"),
            (options::SET, "Sets the catalog, schema, time_zone or timeout_s of the session"),
            (options::GET, "Gives the options of the session"),
            (options::CLOSE, "Ends the session, and the login whose token the request brings"),
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
        let request = self.admit(request).await?;
        self.service.do_exchange(request).await
    }
}
