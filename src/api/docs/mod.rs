//! What the bank says of itself: OpenAPI, Swagger UI, Postman, the pages of problems, the web app and the probes.

pub mod addressed;
mod examples;
pub mod gauges;
pub mod links;
pub mod openapi;
pub mod postman;
pub mod probes;
pub mod problem_pages;
pub mod problem_responses;
pub mod refine;
pub mod scalars;
pub mod static_file;
pub mod swagger_ui;
pub mod version_3_0;
pub mod web_app;
