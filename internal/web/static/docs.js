SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  // The default asks a service on the internet whether the document is valid.
  validatorUrl: null,
});
