"""The accounts' paths below `/api/v1/`."""

from django.urls import path

from accounts.api import views

urlpatterns = [
    path("users/register", views.Register.as_view()),
    path("users/login", views.Login.as_view()),
    path("users/logout", views.Logout.as_view()),
    path("users/password", views.Password.as_view()),
    path("users/me", views.Me.as_view()),
    path("users/me/image", views.MyImage.as_view()),
    path("users/me/sessions/", views.MySessions.as_view()),
    path("users/me/sessions/<uuid:session_id>/", views.MySession.as_view()),
]
