//! nginx in the place of a cloud's load balancer: it routes by what the Ingress objects say.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::client::items;
use super::daemon::Daemon;

/// Where it listens, on loopback.
const PORT: u16 = 8080;

/// One path and where it leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route {
    path: String,
    service: String,
    upstream: String,
}

/// The rules of Ingress objects of a class, with the addresses of their services.
pub(super) fn routes(ingresses: &Value, services: &Value, class: &str) -> Result<Vec<Route>> {
    let addresses: BTreeMap<&str, (&str, &Value)> = items(services)
        .iter()
        .filter_map(|service| {
            let name = service["metadata"]["name"].as_str()?;
            let address = service["spec"]["clusterIP"].as_str()?;
            Some((name, (address, &service["spec"]["ports"])))
        })
        .collect();
    let ours = items(ingresses)
        .iter()
        .filter(|ingress| ingress["spec"]["ingressClassName"] == class);
    let paths = ours
        .flat_map(|ingress| ingress["spec"]["rules"].as_array().into_iter().flatten())
        .flat_map(|rule| rule["http"]["paths"].as_array().into_iter().flatten());
    let mut routes = Vec::new();
    for rule in paths {
        let path = rule["path"].as_str().context("a rule without a path")?;
        ensure!(rule["pathType"] == "Prefix", "{path} is no prefix");
        let backend = &rule["backend"]["service"];
        let service = backend["name"]
            .as_str()
            .context("a rule without a service")?;
        let (address, ports) = addresses
            .get(service)
            .with_context(|| format!("{path} leads to {service}, which is not there"))?;
        let wanted = &backend["port"];
        let port = ports
            .as_array()
            .into_iter()
            .flatten()
            .find(|port| {
                let is = |own: &str, wanted: &Value| !wanted.is_null() && port[own] == *wanted;
                is("name", &wanted["name"]) || is("port", &wanted["number"])
            })
            .and_then(|port| port["port"].as_u64())
            .with_context(|| format!("{service} has no port {wanted}"))?;
        routes.push(Route {
            path: path.to_owned(),
            service: service.to_owned(),
            upstream: format!("{address}:{port}"),
        });
    }
    Ok(routes)
}

/// nginx's file. No request is tried twice, so that each failure is seen. An idle connection to a pod
/// is given up before a pod that stops would close it.
fn settings(routes: &[Route], folder: &Path) -> String {
    let mut text = format!(
        "daemon off;\nworker_processes 1;\npid {0}/nginx.pid;\nerror_log stderr warn;\n\
         events {{ worker_connections 1024; }}\nhttp {{\naccess_log off;\nserver_tokens off;\n",
        folder.display()
    );
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{kind}_temp_path {}/nginx-{kind};", folder.display());
    }
    for route in routes {
        let _ = writeln!(
            text,
            "upstream {} {{ server {} max_fails=0; keepalive 32; keepalive_timeout 5s; }}",
            route.service, route.upstream
        );
    }
    let _ = writeln!(
        text,
        "server {{\nlisten 127.0.0.1:{PORT};\nkeepalive_requests 1000000;\n\
         large_client_header_buffers 4 64k;\nproxy_http_version 1.1;\nproxy_set_header Connection \"\";\n\
         proxy_next_upstream off;\nproxy_read_timeout 90s;\nproxy_buffers 16 64k;\nproxy_buffer_size 64k;"
    );
    for Route { path, service, .. } in routes {
        for location in [format!("= {path}"), format!("{path}/")] {
            let _ = writeln!(
                text,
                "location {location} {{ proxy_pass http://{service}; }}"
            );
        }
    }
    text.push_str("location / { return 404; }\n}\n}\n");
    text
}

/// Starts it.
pub(super) fn start(folder: &Path, logs: &Path, routes: &[Route]) -> Result<(Daemon, SocketAddr)> {
    let file = folder.join("nginx.conf");
    std::fs::write(&file, settings(routes, folder))
        .with_context(|| format!("cannot write {}", file.display()))?;
    let mut nginx = Daemon::command("nginx")?;
    nginx.args(["-e", "stderr", "-p"]).arg(folder).arg("-c");
    let nginx = Daemon::start(logs, "nginx", nginx.arg(&file))?;
    Ok((nginx, SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn services() -> Value {
        json!({"items": [
            {"metadata": {"name": "a"}, "spec": {"clusterIP": "10.96.0.7", "ports": [{"name": "http", "port": 80}]}},
            {"metadata": {"name": "b"}, "spec": {"clusterIP": "10.96.0.8", "ports": [{"name": "x", "port": 1}, {"name": "http", "port": 81}]}},
        ]})
    }

    fn ingress(class: &str, path: &str, service: &str, port: &Value) -> Value {
        let backend = json!({"service": {"name": service, "port": port}});
        json!({"spec": {"ingressClassName": class, "rules": [
            {"http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}},
        ]}})
    }

    #[test]
    fn each_path_leads_to_its_services_address() {
        let ingresses = json!({"items": [
            ingress("nginx", "/a", "a", &json!({"number": 80})),
            ingress("nginx", "/b", "b", &json!({"name": "http"})),
            ingress("other", "/c", "c", &json!({"name": "http"})),
        ]});
        let routes = routes(&ingresses, &services(), "nginx").unwrap();
        let upstreams: Vec<_> = routes.iter().map(|route| route.upstream.as_str()).collect();
        assert_eq!(upstreams, ["10.96.0.7:80", "10.96.0.8:81"]);
        let text = settings(&routes, Path::new("/f"));
        assert!(text.contains("location = /a { proxy_pass http://a; }"));
        assert!(text.contains("location /b/ { proxy_pass http://b; }"));
        assert!(text.contains("proxy_next_upstream off;"));
    }

    #[test]
    fn a_rule_that_leads_nowhere_is_refused() {
        for (service, port, complaint) in [
            ("c", json!({"name": "http"}), "c, which is not there"),
            ("a", json!({"name": "admin"}), "a has no port"),
        ] {
            let ingresses = json!({"items": [ingress("nginx", "/p", service, &port)]});
            let error = routes(&ingresses, &services(), "nginx").unwrap_err();
            assert!(error.to_string().contains(complaint), "{error}");
        }
    }
}
