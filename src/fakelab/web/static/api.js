// The page of the REST interface. It reads the description from this machine alone.
window.addEventListener("DOMContentLoaded", () => {
  const token = document.querySelector('meta[name="csrf"]').content;
  SwaggerUIBundle({
    url: "/api/openapi.json", dom_id: "#swagger", deepLinking: true, validatorUrl: null,
    requestInterceptor: (request) => { request.headers["X-CSRF-Token"] = token; return request; },
  });
});
