//! Keys: nobody asks without one, and each does what its roles say and no more.

use serde_json::{Value, json};

use crate::documents::GREET;
use crate::place::{Place, Reply, document, memory};

const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];

/// Every operation, with something in the place of each name.
fn operations() -> Vec<(String, String)> {
    let api: Value = serde_json::from_str(&isonomy_site::openapi_json()).expect("JSON");
    let mut operations = Vec::new();
    for (path, item) in api["paths"].as_object().expect("paths") {
        let path = path
            .replace("{namespace}", "lab")
            .replace("{run}", "run_01a1fb7b-d522-7414-8c47-aa7df2bebacf")
            .replace("{name}", "greet");
        for method in item.as_object().expect("operations").keys() {
            operations.push((method.to_uppercase(), path.clone()));
        }
    }
    operations
}

async fn asked(place: &Place, key: &str, method: &str, path: &str, body: &Value) -> Reply {
    let authorization = format!("Bearer {key}");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers = [("authorization", &*authorization)];
    place.send(method, path, &headers, body.as_bytes()).await
}

/// A key with these roles.
async fn key(place: &Place, name: &str, roles: Value) -> String {
    let made = place.post("/api/v1/keys", &json!({"name": name, "roles": roles})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()["key"].as_str().expect("a key").to_owned()
}

/// Mutation: answer one operation to anybody, to a key of another site, or to one of another scheme.
#[tokio::test]
async fn no_operation_answers_without_a_key() {
    let (place, other) = (Place::new().await, Place::new().await);
    let foreign = other.own_key.to_text();
    let operations = operations();
    assert!(operations.len() > 30, "{operations:?}");
    let unknown = ("GET".to_owned(), "/api/v1/none".to_owned());
    for (method, path) in operations.iter().chain([&unknown]) {
        let mut request = place.request(method, path, &[("authorization", "")], b"");
        // Without the header, not with an empty one.
        request =
            String::from_utf8(request).expect("text").replace("authorization: \r\n", "").into();
        let none = place.raw(&request).await;
        assert_eq!((none.status, &*none.problem()), (401, "KEY-001"), "{method} {path}");
        assert!(none.head.contains("www-authenticate: bearer"), "{}", none.head);
        let own = place.own_key.to_text();
        for wrong in
            [format!("Bearer {foreign}"), format!("Basic {own}"), own.clone(), String::new()]
        {
            let reply = place.send(method, path, &[("authorization", &wrong)], b"").await;
            assert_eq!(reply.status, 401, "{method} {path} {wrong}");
            assert!(!reply.text().contains("isonomy-key-A"), "{}", reply.text());
        }
    }
    assert_eq!(place.get("/api/v1/none").await.status, 404);
    place.stop().await;
    other.stop().await;
}

/// Every operation on the namespace `lab`, by keys that have roles elsewhere or too low ones.
///
/// Mutation: let a viewer change something, take a role of one namespace in another, or forget what an
/// operation asks for.
#[tokio::test]
async fn a_key_does_what_its_roles_say() {
    let place = Place::new().await;
    let elsewhere = key(&place, "elsewhere", json!({"shop": "admin"})).await;
    let viewer = key(&place, "viewer", json!({"lab": "viewer"})).await;
    let any = [
        "/health",
        "/version",
        "/site",
        "/openapi.json",
        "/whoami",
        "/keys",
        "/budgets",
        "/prices",
        "/usage",
        "/usage/focus",
        "/calls/local-share",
    ];
    // What these ask for stands in their body, or behind the path.
    let looks_itself = ["/api/v1/workflows:apply", "/api/v1/budgets"];
    for (method, path) in operations() {
        let for_all = any.iter().any(|end| path.ends_with(end) && method == "GET");
        let refused = asked(&place, &elsewhere, &method, &path, &Value::Null).await;
        let is_key = path.contains("/keys");
        if for_all {
            assert_eq!(refused.status, 200, "{method} {path}");
        } else if path.contains("/prices/") {
            // For all as well, and there is none of that name.
            assert_eq!(refused.status, 404, "{method} {path}");
        } else if !is_key && !looks_itself.contains(&path.as_str()) {
            assert_eq!(refused.problem(), "KEY-002", "{method} {path}");
        }
        if path.contains("/lab/") && !path.ends_with("/follow") {
            let seen = asked(&place, &viewer, &method, &path, &Value::Null).await;
            match method.as_str() {
                // What somebody has asked is for those who may answer.
                "GET" if path.contains("/questions") => {
                    assert_eq!(seen.problem(), "KEY-002", "{method} {path}");
                }
                "GET" => assert_ne!(seen.status, 403, "{method} {path}"),
                _ => assert_eq!(seen.problem(), "KEY-002", "{method} {path}"),
            }
        }
    }
    for method in METHODS {
        let reply = asked(&place, &viewer, method, "/api/v1/none", &Value::Null).await;
        assert_eq!(reply.status, 404, "{method}");
    }
    place.stop().await;
}

/// Mutation: apply into, start from, or tell of a namespace in which the key has no role.
#[tokio::test]
async fn namespaces_see_nothing_of_each_other() {
    let place = Place::new().await;
    place.apply("lab", "greet", &document("lab", "greet", "1.0.0", GREET)).await;
    let shop = key(&place, "shop", json!({"shop": "admin"})).await;
    // The document says where it belongs, whatever the path says.
    let lab = document("lab", "other", "1.0.0", "  - x: {set: {y: 1}}");
    let path = "/api/v1/namespaces/shop/workflows/other";
    let wrong = asked(&place, &shop, "PUT", path, &json!({"text": lab})).await;
    assert_eq!(wrong.problem(), "KEY-002");
    let own = document("shop", "own", "1.0.0", "  - x: {set: {y: 1}}");
    let set = json!({"documents": [{"text": own}, {"text": lab}]});
    let wrong = asked(&place, &shop, "POST", "/api/v1/workflows:apply", &set).await;
    assert_eq!(wrong.problem(), "KEY-002");
    // What is there and what is not is refused in the same words.
    let mut told = Vec::new();
    for name in ["greet", "nothing"] {
        let task = format!(
            "  - x: {{run: {{workflow: {{namespace: lab, name: {name}, version: latest}}}}}}"
        );
        let text = document("shop", "caller", "1.0.0", &task);
        let set = json!({"documents": [{"text": text}]});
        let reply = asked(&place, &shop, "POST", "/api/v1/workflows:apply", &set).await;
        assert_eq!(reply.problem(), "WFL-001", "{}", reply.text());
        let message = reply.json()["findings"][0]["message"].to_string();
        told.push(message.replace(name, "NAME"));
    }
    assert_eq!(told[0], told[1]);
    let both = key(&place, "both", json!({"shop": "admin", "lab": "operator"})).await;
    let task = "  - x: {run: {workflow: {namespace: lab, name: greet, version: latest}}}";
    let set = json!({"documents": [{"text": document("shop", "caller", "1.0.0", task)}]});
    let reply = asked(&place, &both, "POST", "/api/v1/workflows:apply", &set).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    place.stop().await;
}

/// Mutation: let the admin of one namespace cap another or its keys, or take the cap of one away, say that there is a key which he may not see, look
/// for it before his role, or show what another one spends.
#[tokio::test]
async fn the_budgets_of_a_namespace_are_its_own() {
    let place = Place::new().await;
    let shop = key(&place, "shop", json!({"shop": "admin"})).await;
    let viewer = key(&place, "viewer", json!({"shop": "viewer"})).await;
    let path = "/api/v1/budgets";
    for (name, namespace) in [("of-shop", "shop"), ("of-lab", "lab")] {
        let terms = json!({"namespace": namespace});
        let made = json!({"name": name, "roles": {}, "scopes": ["model"], "model": terms});
        let made = place.post("/api/v1/keys", &made).await;
        assert_eq!(made.status, 201, "{}", made.text());
    }
    let set = |holder: &str| json!({"holder": holder, "budget": "1EUR/day"});
    for (who, holder, expected) in [
        (&shop, "namespace/shop", 204),
        (&shop, "workflow/shop/intake", 204),
        (&shop, "namespace/lab", 403),
        (&shop, "workflow/lab/intake", 403),
        (&viewer, "namespace/shop", 403),
        (&viewer, "key/of-shop", 403),
        (&shop, "key/of-shop", 204),
        (&shop, "key/of-lab", 400),
        (&shop, "key/of-nobody", 400),
    ] {
        let reply = asked(&place, who, "PUT", path, &set(holder)).await;
        assert_eq!(reply.status, expected, "{holder}: {}", reply.text());
    }
    for holder in ["namespace/lab", "key/of-lab"] {
        let admin = place.send("PUT", path, &[], set(holder).to_string().as_bytes()).await;
        assert_eq!(admin.status, 204, "{}", admin.text());
    }
    let seen = asked(&place, &viewer, "GET", path, &Value::Null).await;
    let seen = seen.json()["items"].as_array().expect("a list").clone();
    let holders: Vec<_> = seen.iter().map(|it| it["holder"].clone()).collect();
    assert_eq!(holders, ["namespace/shop", "workflow/shop/intake"]);
    for (holder, expected) in
        [("namespace/lab", 403), ("key/of-lab", 403), ("key/of-nobody", 403), ("key/of-shop", 204)]
    {
        let remove = format!("{path}?holder={holder}&period=day");
        let reply = asked(&place, &shop, "DELETE", &remove, &Value::Null).await;
        assert_eq!(reply.status, expected, "{holder}: {}", reply.text());
    }
    place.stop().await;
}

/// Mutation: keep the key instead of its digest, let one that is over work, or let anybody claim to be a
/// key.
#[tokio::test]
async fn keys_are_made_shown_once_and_revoked() {
    let store = memory();
    let place = Place::with(store.clone(), Default::default()).await;
    let ada = key(&place, "ada", json!({"*": "viewer", "lab": "admin"})).await;
    let twice = json!({"name": "ada", "roles": {"lab": "viewer"}});
    assert_eq!(place.post("/api/v1/keys", &twice).await.problem(), "KEY-004");
    let who = asked(&place, &ada, "GET", "/api/v1/whoami", &Value::Null).await.json();
    assert_eq!(who["actor"], "key:ada", "{who}");
    assert_eq!(who["roles"], json!({"*": "viewer", "lab": "admin"}));
    for wrong in [
        json!({"name": "x", "roles": {}}),
        json!({"name": "x", "roles": {"a b": "viewer"}}),
        json!({"name": "x", "roles": {"lab": "owner"}}),
        json!({"name": "x", "roles": {"lab": "viewer"}, "scopes": []}),
        json!({"name": "x", "roles": {"lab": "viewer"}, "scopes": ["model"]}),
        json!({"name": "x", "roles": {"lab": "viewer"}, "ttlSeconds": 1}),
        json!({"name": "not a name", "roles": {"lab": "viewer"}}),
    ] {
        assert_eq!(place.post("/api/v1/keys", &wrong).await.status, 400, "{wrong}");
    }
    // An admin of one namespace hands out roles there alone, and sees such keys alone.
    let body = json!({"name": "bob", "roles": {"lab": "operator"}, "ttlSeconds": 3600});
    let bob = asked(&place, &ada, "POST", "/api/v1/keys", &body).await;
    assert_eq!(bob.status, 201, "{}", bob.text());
    let bob = bob.json()["key"].as_str().expect("a key").to_owned();
    let more = json!({"name": "eve", "roles": {"*": "viewer"}});
    assert_eq!(asked(&place, &ada, "POST", "/api/v1/keys", &more).await.problem(), "KEY-002");
    let seen = asked(&place, &ada, "GET", "/api/v1/keys", &Value::Null).await;
    let seen_text = seen.text();
    assert!(!seen_text.contains(&ada) && !seen_text.contains(&bob), "{seen_text}");
    let items = seen.json()["items"].clone();
    assert_eq!(items.as_array().map(Vec::len), Some(1), "{items}");
    assert_eq!((&items[0]["name"], &items[0]["createdBy"]), (&json!("bob"), &json!("key:ada")));
    let hidden = asked(&place, &ada, "POST", "/api/v1/keys/ada/revoke", &json!({})).await;
    assert_eq!(hidden.problem(), "KEY-003");
    // Somebody with the folder's key says who he is, and no key's name.
    let claim = place.send("GET", "/api/v1/whoami", &[("isonomy-actor", "key:ada")], b"").await;
    assert_eq!(claim.status, 400);
    // It outlives the site, and ends when it is revoked.
    place.stop().await;
    let place = Place::with(store, Default::default()).await;
    assert_eq!(asked(&place, &bob, "GET", "/api/v1/whoami", &Value::Null).await.status, 200);
    assert_eq!(place.post("/api/v1/keys/bob/revoke", &json!({})).await.status, 200);
    let over = asked(&place, &bob, "GET", "/api/v1/whoami", &Value::Null).await;
    assert!(over.text().contains("revoked"), "{}", over.text());
    let again = key(&place, "bob", json!({"lab": "viewer"})).await;
    assert_eq!(asked(&place, &bob, "GET", "/api/v1/whoami", &Value::Null).await.status, 401);
    assert_eq!(asked(&place, &again, "GET", "/api/v1/whoami", &Value::Null).await.status, 200);
    place.stop().await;
}
