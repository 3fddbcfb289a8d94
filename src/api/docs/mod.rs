//! What the bank says of itself: OpenAPI, Swagger UI, Postman, the pages of problems, the web app and the probes.

pub mod links;
pub mod openapi;
pub mod probes;
pub mod problem_pages;
pub mod refine;
pub mod scalars;
pub mod static_file;
pub mod web_app;
