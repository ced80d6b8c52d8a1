#include "CDashboard.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char index_html[] = {
#embed "../Server/Dashboard/index.html"
};
static const unsigned char client_js[] = {
#embed "../Server/Dashboard/client.js"
};
static const unsigned char dashboard_js[] = {
#embed "../Server/Dashboard/dashboard.js"
};
static const unsigned char dashboard_feed_js[] = {
#embed "../Server/Dashboard/dashboard-feed.js"
};
static const unsigned char dashboard_model_js[] = {
#embed "../Server/Dashboard/dashboard-model.js"
};
static const unsigned char dashboard_view_js[] = {
#embed "../Server/Dashboard/dashboard-view.js"
};
static const unsigned char dashboard_worker_js[] = {
#embed "../Server/Dashboard/dashboard-worker.js"
};
static const unsigned char dashboard_css[] = {
#embed "../Server/Dashboard/dashboard.css"
};
static const unsigned char asyncapi_yaml[] = {
#embed "../Server/Specification/asyncapi.yaml"
};
static const unsigned char icon_svg[] = {
#embed "../Server/Dashboard/icon.svg"
};

static const struct cdashboard_file files[] = {
    {"index.html", index_html, sizeof index_html},
    {"client.js", client_js, sizeof client_js},
    {"dashboard.js", dashboard_js, sizeof dashboard_js},
    {"dashboard-feed.js", dashboard_feed_js, sizeof dashboard_feed_js},
    {"dashboard-model.js", dashboard_model_js, sizeof dashboard_model_js},
    {"dashboard-view.js", dashboard_view_js, sizeof dashboard_view_js},
    {"dashboard-worker.js", dashboard_worker_js, sizeof dashboard_worker_js},
    {"dashboard.css", dashboard_css, sizeof dashboard_css},
    {"icon.svg", icon_svg, sizeof icon_svg},
    {"asyncapi.yaml", asyncapi_yaml, sizeof asyncapi_yaml},
};

struct cdashboard_file cdashboard_file(size_t number) {
    if (number >= sizeof files / sizeof *files) return (struct cdashboard_file){NULL, NULL, 0};
    return files[number];
}
