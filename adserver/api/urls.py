"""The ads' paths below `/api/v1/`."""

from django.urls import path

from adserver.api import views

urlpatterns = [
    path("ad", views.AdDoor.as_view(), name="ad-door"),
    path("ads/", views.AdList.as_view(), name="ad-list"),
    path("ads/import/", views.AdImport.as_view(), name="ad-import"),
    path("ads/<uuid:ad_id>/", views.AdDetail.as_view(), name="ad-detail"),
    path("ads/<uuid:ad_id>/history/", views.AdHistory.as_view(), name="ad-history"),
]
